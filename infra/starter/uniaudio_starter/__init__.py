"""The trained weights of UniAudio's size `starter`: `uniaudio` finds them in the folder `starter` beside this file."""
