"""What a running service sees: live traffic beside the test rows, true labels, requests, and a log of predictions."""
