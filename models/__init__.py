"""Networks that are compiled and measured: factories for code, figures and the command line."""

__all__: list[str] = []
