"""The stages of training: one function each, returning a frozen config. Those of the language model stand in order in
`table.ALL_STAGES`."""
