"""Files and procedures of the released codec: its weights under our names, its windows with their defects."""
