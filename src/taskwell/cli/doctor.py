def doctor() -> None:
    """X"""
