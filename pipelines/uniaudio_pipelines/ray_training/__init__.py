"""How both training edges run: one group of Ray Train's workers, the folder that a run keeps, what it tells."""
