"""What a model must do to be accepted."""
