"""The audio codec. START HERE: `codec.ReasoningCodec`, encode and decode. This package imports nothing by itself."""
