"""What versions have to do with each other: where a row comes from, what two versions differ in, what must be forgotten."""
