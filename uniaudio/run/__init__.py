"""Using a trained model: text, audio and codes in, the task's answer out, the same for all tasks.

START HERE: `model.UniAudio`. `folder` says where its parts lie, `request` what a task is given, `cli` is `uniaudio run`.
"""
