"""What a layer costs on a target, and where each constant comes from."""
