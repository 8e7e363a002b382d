"""What is particular to training the codec: its phases' objectives, clips and crops."""
