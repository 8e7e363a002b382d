"""Turn annotated clips into training examples of every task that their annotations allow.

Reads    annotated
Writes   instructions
Runs on  CPUs, one unit a worker
Row in   {"clip_id": "5f1c…", "domain": "speech", "split": "train", "given_text": "Let's go.", "speaker": "joe", …}
Row out  {"task": "asr", "split": "train", "segments": [{"kind": "prompt", "text": "Transcribe the following speech."},
          {"kind": "reasoning", "clip_id": "5f1c…"}, {"kind": "reconstruction", "clip_id": "5f1c…"},
          {"kind": "text", "wrapper": "transcription", "text": "Let's go.", "loss": True}], …}

A clip that serves several tasks is named by several rows and tokenized once. Mixtures, noisy copies, edits and pieces are recipes, rendered
when they are tokenized. Clips of one example share one corpus and one split; only a sound behind speech may be of another corpus.

How it reads, `units` to `worker`: a corpus is cut into ranges of hashes (`units`), the needed columns are copied once into few large files
(`packs`), and a unit takes from them the clips at home in it and those that come by a route (`routes`, `reading`): with their voice, their
recording, the same words, a tag, or just beside each other. What is built follows from the rows and the job; a clip more changes few examples.

Who builds what: `single` (tasks whose declaration says how a clip fills them), `voices` (a shown voice, speech over a sound), `edits`, `mixtures`,
`groups` (auditory sentences), `few_shot`, `classes`, `questions`, `conversations`, `dialogues`, `preferences` (pairs of answers). `caps`
keeps at most so many of a corpus or a speaker.

Dropped, each with its reason, once a clip and reason in a unit; the statistics count them by task:
    leak, copy                                                        in no example, by policy
    no_audio, no_text, no_given_text, rejected_*, no_caption          nothing to learn from, of the kind that its domain should have
    low_mos, over_synthetic_share                                     no target of speech
    no_partner, no_voice_sample, no_distractor, no_word_times, unequal_parts, too_few_turns, no_worse_answer     chosen for an example that could not be made
    too_long, over_cap                                                made, and left out
"""
