"""Pictures of what has been measured."""
