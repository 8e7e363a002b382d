import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.mel import log_mel, mel_bands, music_log_mel, whisper_log_mel
from uniaudio.audio.torchaudio_cpu import import_torchaudio


def noise(num_samples: int, batch: int = 2) -> torch.Tensor:
    samples_BN = 0.1 * torch.randn(batch, num_samples, generator=torch.Generator().manual_seed(0))
    return samples_BN * torch.linspace(0, 1, num_samples) ** 4


@pytest.mark.slow  # imports transformers
@pytest.mark.parametrize("num_mels", [80, 128])
def test_whispers_log_mel_equals_its_feature_extractor_bit_for_bit(num_mels: int) -> None:
    pytest.importorskip("transformers")
    import_torchaudio()
    from transformers import WhisperFeatureExtractor

    samples_BN = noise(100_000)
    extractor = WhisperFeatureExtractor(feature_size=num_mels)
    theirs = extractor(list(samples_BN.numpy()), sampling_rate=16_000, return_tensors="pt").input_features
    assert torch.equal(whisper_log_mel(samples_BN, num_mels=num_mels), theirs)


def test_whispers_log_mel_has_3000_frames_whatever_the_length() -> None:
    assert whisper_log_mel(noise(1_000, 1)).shape == whisper_log_mel(noise(500_000, 1)).shape == (1, 80, 3_000)
    assert whisper_log_mel(noise(3_200, 1), num_samples=None).shape == (1, 80, 20)


def test_the_music_mel_equals_torchaudios() -> None:
    samples_BN = noise(48_000)
    power = import_torchaudio().transforms.MelSpectrogram(24_000, 2_048, hop_length=240, n_mels=128)(samples_BN)
    theirs = (10 * power.clamp(min=1e-10).log10()[..., :-1] - 6.768444971712967) / 18.417922652295623
    torch.testing.assert_close(music_log_mel(samples_BN), theirs, atol=5e-5, rtol=0)


def test_the_music_mel_drops_what_fills_no_25_hz_frame() -> None:
    samples_BN = noise(9_600 + 959)
    assert torch.equal(music_log_mel(samples_BN), music_log_mel(samples_BN[:, :9_600]))
    assert music_log_mel(samples_BN).shape == (2, 128, 40)


def test_slaney_bands_have_equal_area_and_htk_bands_equal_height() -> None:
    slaney, htk = (mel_bands(4_097, 20, 16_000, scale=scale) for scale in ("slaney", "htk"))
    torch.testing.assert_close(slaney.sum(0), slaney.sum(0).mean().expand(20), rtol=0.02, atol=0)
    torch.testing.assert_close(htk.amax(0), torch.ones(20), rtol=0.05, atol=0)


def test_audio_shorter_than_half_a_window_is_refused() -> None:
    with pytest.raises(UsageError, match="more than 512 samples, but has 500"):
        log_mel(noise(500), 24_000)
