"""What is particular to training the language model: its losses, its order of examples, its batches."""
