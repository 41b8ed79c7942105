"""What a command raises when it could not do its work although its arguments were right. evencoat.cli shows it."""


class RunFailed(Exception):
    """One of the parts did not do its part; the text says which, and where to look."""
