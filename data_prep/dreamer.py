"""DREAMER's raw format.

Authors   Katsigiannis, Ramzan
Source    "DREAMER: A Database for Emotion Recognition through EEG and ECG Signals from Wireless Low-cost Off-the-Shelf
          Devices", IEEE Journal of Biomedical and Health Informatics 22(1), 2018
Link      https://zenodo.org/records/546113 (on request)
People    23, each with 18 film clips of 65 to 393 s; scores from 1 to 5
Signals   EEG of 14 channels at 128 Hz, ECG of 2 channels at 256 Hz; 61 s of rest before each clip
Files     DREAMER.mat, one MATLAB structure
"""

EEG_RATE = 128  # Hz
ECG_RATE = 256  # Hz
BASELINE_SECONDS = 61
EEG_CHANNELS = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
PPS_CHANNELS = ["ECG1", "ECG2"]
RATINGS = ["valence", "arousal", "dominance"]
RATING_RANGE = (1, 5)
THRESHOLD = 3
