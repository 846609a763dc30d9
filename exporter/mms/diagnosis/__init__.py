"""Why tasks failed: the rules, and what people read of a message."""
