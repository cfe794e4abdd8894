"""Published systems as policies, and what they cost on the same traces as ours."""
