"""Files and procedures of the released language model: its weights and vocabulary under our names, its defects."""
