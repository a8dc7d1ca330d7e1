"""What the workers of `bench_workers` do; imported by them, so that it imports nothing."""


def give_back(values: object) -> object:
    """Give the input."""
    return values


def nothing() -> int:
    """Give 0."""
    return 0
