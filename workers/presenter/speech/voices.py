"""Who speaks: the voices to train on, and six that are only ever tested with.

A voice is one of espeak-ng's English accents with one of its variants (a larynx and a vocal tract). Neither an
accent nor a variant of a held-out voice is trained on. They were chosen before any training, and not by result.
"""

import random

from workers.presenter.speech.espeak import Voice

ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd")
# Other languages' voices read the same texts as if they were their own: more sounds, and fewer habits of English.
FOREIGN = ("cs", "es", "fi", "hu", "it", "nb", "nl", "pl", "pt-br", "ro", "sv", "tr")
FOREIGN_SHARE = 0.15

# Left out besides the held-out ones: robots, and near twins of a held-out variant.
LOW = """
    Alex Andy AnxiousAndy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen Storm Tweaky
    adam announcer antonio benjamin boris caleb croak david ed edward edward2 fast grandpa gustave iven iven2 iven3
    john kaukovalta klatt klatt2 klatt3 klatt4 klatt5 klatt6 m1 m2 m3 m4 m5 m7 marcelo max michel miguel norbert
    pablo paul pedro quincy rob robert sandro travis victor whisper
""".split()  # noqa: SIM905  # quotes and commas would not make it clearer
HIGH = "Alicia Andrea Annie aunty f1 f2 f3 f4 f5 shelby steph steph2 steph3 whisperf zac".split()  # noqa: SIM905
VARIANTS = (*LOW, *HIGH)

HELD_OUT = (
    Voice("en-us-nyc+linda", rate=165, pitch=55),
    Voice("en-029+m6", rate=150, pitch=40),
    Voice("en-gb-x-gbclan+belinda", rate=175, pitch=60),
    Voice("en-029+anika", rate=155, pitch=50),  # a high female voice
    Voice("en-gb-x-gbclan+m8", rate=155, pitch=35),  # a deep male one
    Voice("en-us-nyc+grandma", rate=150, pitch=50),  # an old, trembling one
)
DEMO = HELD_OUT[0]  # a woman of New York


def any_voice(chance: random.Random) -> Voice:
    """One more speaker to train on."""
    accents = FOREIGN if chance.random() < FOREIGN_SHARE else ACCENTS
    variants = chance.choice((LOW, HIGH))  # as many women as men, though the list is not so fair
    return Voice(
        f"{chance.choice(accents)}+{chance.choice(variants)}",
        rate=chance.randint(110, 220),
        pitch=chance.randint(0, 99),
        range=chance.randint(10, 90),
        size=chance.uniform(0.82, 1.16),  # as far as grown-up vocal tracts differ, and some of the children's
    )
