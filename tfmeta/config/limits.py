"""The highest values of counts.

They are far above what anybody trains with. Below them no product of two counts that TensorFlow sees, such as steps
times the images of a batch, leaves its 32-bit integers. What a machine cannot hold or would take weeks for is another
matter: see `tfmeta.estimate`.
"""

MOST_STEPS = 100_000  # gradient steps in a row: of an episode, of a fine-tuning
MOST_IMAGES = 10_000  # of a class in an episode, or of a batch
MOST_CLASSES = 10_000  # of an episode
MOST_EPISODES = 10_000_000  # of one training
MOST_META_BATCH = 10_000  # episodes of a meta step
MOST_ROUNDS = 1_000_000
MOST_USERS = 100_000
MOST_TASKS = 100_000
MOST_PIXELS = 10_000  # of a side
MOST_FILTERS = 4096
