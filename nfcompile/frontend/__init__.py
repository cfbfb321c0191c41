"""Everything that turns what a user has into a `Source`."""
