"""What the story does: thin, dependencies in the constructor, at most one transaction and one call outside each."""
