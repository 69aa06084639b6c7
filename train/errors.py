"""What all our errors have in common."""


class UserError(Exception):
    """Something that the user can mend. The command line shows the message alone and exits with 1."""
