"""What a training run needs, known before it is paid for: parameters, memory, time, disk. START HERE: `report.plan_stages`.

Arithmetic alone: no weights, no card, no torch. The tests hold it against what small runs take.
"""
