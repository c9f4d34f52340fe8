"""The story: what happens next, and how long it waits. No fact lives here alone."""
