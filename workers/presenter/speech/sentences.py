"""What the synthetic voices say: a seeded grammar to train on, and other words, written by hand, to test with."""

import random


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split("|")]


# Words are chosen for their mouths: all vowels, all diphthongs, lips, teeth and tongue in every neighbourhood.
_QUALITIES = _words("""
    amber awkward beige blunt bold brave brief bright broad brown calm cheap clever coarse cold cosy crisp cruel
    curved damp dark deaf dry dull eager early faint fair fancy fierce firm foamy foggy fresh fuzzy gentle giant
    golden grim happy harsh heavy hollow honest humble icy idle jolly joyful keen large lazy loud loyal lucky major
    mellow mild modern muddy narrow neat noble nervous odd oily open oval pale patient plain polite proud purple
    quick quiet rapid raw rough royal rusty sharp shiny shy silver simple sleepy slim small smooth soft solid sour
    spare square stiff strange strong sudden sweet tall tame thick thin thorough tired tough urgent usual vague vast
    violet vivid warm weak weary wet whole wide wild wise wooden worthy young
""")
_THINGS = _words("""
    acorn afternoon anchor apron autumn avenue badge bamboo basket bath beach beaver beetle bishop blanket boat
    bottle boulder bowl branch breath bridge bubble button cabbage candle canyon carpet castle cave chapel cherry
    chicken church cinema cloud coin copper corner cottage cousin crowd cushion daisy dance desert dinner dolphin
    dove dragon drawer duty earth echo elbow engine farmer father feather fever field finger fireplace flavour
    flower fog forest fountain fox game garage garden gate giraffe glove goose grape hammer harbour hedge helmet
    hill hobby horizon house iron island ivory jaw jewel joke judge jungle kettle king kitchen ladder lamp leather
    lemon letter library lion lobby machine map marble market measure meadow message mirror month moon mother mouse
    museum music napkin needle nephew noise novel nurse oak oath ocean olive onion orchard oven owl oyster palace
    paper parrot path peach pebble pepper piano pigeon pillow pipe pleasure poem pool potato powder pudding puppy
    puzzle quarrel queen rabbit radio raft rainbow reason ribbon river road robin roof rope rose sailor salad scarf
    school season shadow sheep shelf shirt shoe shovel silk sofa soup spoon stamp station storm stove street sugar
    summer table tailor thief thorn thread thumb thunder tiger tooth tower toy treasure tree tube tulip turtle uncle
    valley vapour vase velvet village violin vision voyage wagon wallet water wave weather whale wheel whip window
    wing wolf wool worm yacht yard year zebra zoo
""")
_DEEDS = _words("""
    admires avoids begs blames borrows breaks brings brushes builds buys calls carries catches chases chooses climbs
    copies covers crosses describes digs draws drops enjoys envies feeds finds fixes follows forgets frames gives
    grabs guides hears helps hides holds hugs improves invites joins judges jumps keeps kicks knows lifts likes
    loses loves makes marks mends moves names needs notices offers opens owes owns paints passes pays picks plays
    pours praises pulls pushes puts reads remembers repairs saves searches sees sells serves shakes shapes shares
    shows skips spoils spots steals stirs stops studies sweeps takes teaches throws ties touches turns uses views
    visits voices warms washes watches waves wears weighs wins wipes wraps writes
""")
_PLACES = _phrases("""
    above the roof | across the muddy field | after supper | against the wall | all over the floor | all through
    June | among the poppies | around noon | at four in the morning | at the show | because of the fog | before dawn
    | behind the barn | below the surface | beside the fire | between two chairs | by the sea | down by the brook |
    during the wedding | every other Thursday | far away from here | for a whole hour | for five years | from above
    | in early August | in the back of the bus | inside a box | just in time | near the edge | on both sides | on my
    birthday | on top of the world | out of the blue | outside the shop | over and over | past the mill | quite
    often | right now | since half past eleven | so to speak | the day before yesterday | through thick and thin |
    to and fro | together with us | towards the south | under the moon | until the evening | up in the air | upon
    the chimney | very slowly | when nobody looks | with a smile | with both thumbs | within a month | without a
    word
""")
_OPENINGS = _phrases("""
    Ah, there it is | All right | As you wish | Be quick | Bring them over | Do not worry | Ever since | Excuse me |
    Go on | Good morning | Hear me out | How odd | I am afraid so | I hope you agree | I know, I know | I wonder why
    | If I may | In other words | Join us | Just imagine | Keep it up | Let us begin | Look at that | Maybe so | My
    goodness | Never mind | No, not at all | Now we know | Of course | Oh, yes | On the whole | Please move aside |
    Pour me some | See for yourself | She said no | So be it | Stop it, both of you | Thank you very much | That
    will do | They all agreed | This way, please | To tell the truth | Wait for me | Watch out | We were so proud |
    Well, well | What a view | What is more | Who knows | Why not | You and I both know | You may go
""")
_NUMBERS = _words("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty
    forty fifty sixty seventy eighty ninety hundred thousand million half quarter
""")
_PATTERNS = (
    "The {quality} {thing} {deed} the {quality} {thing} {place}.",
    "{opening}, my {thing} {deed} your {thing}.",
    "{number}, {number}, {number} {quality} {thing}s, {number} {thing}s.",
    "Why does a {quality} {thing} live {place}? {opening}.",
    "She {deed} a {thing} and he {deed} a {quality} {thing}, {place}.",
    "{opening}! {quality}, {quality} and {quality} {thing}, {place}.",
    "{place}, we saw {number} {quality} {thing}s.",
    "Whoever {deed} this {thing} {deed} them {place}.",
    "Their {thing} is {quality}; our {thing} was {quality}, too.",
    "{thing}. {thing}. {quality} {thing}.",
)


def sentence(chance: random.Random) -> str:
    """One more sentence to train on: grammatical, and as a rule nonsense."""
    return chance.choice(_PATTERNS).format_map(_Draw(chance))


class _Draw(dict[str, str]):
    """A new word of the kind at every look-up."""

    _KINDS = {  # noqa: RUF012  # never changed
        "quality": _QUALITIES,
        "thing": _THINGS,
        "deed": _DEEDS,
        "place": _PLACES,
        "opening": _OPENINGS,
        "number": _NUMBERS,
    }

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __missing__(self, kind: str) -> str:
        return self._chance.choice(self._KINDS[kind])


# Never trained on. One for each held-out voice, 9 to 12 s each; the words are others, but for the smallest ones.
HELD_OUT = (
    "Whenever somebody speaks, a tiny avatar responds. People from Boston would probably prefer coffee and a waffle "
    "before breakfast, but Phoebe asked for marmalade.",
    "Perhaps a photographer could phone Emma tomorrow. Her family business ships mopeds, pumps and bathroom "
    "furniture to Portugal and Wyoming.",
    "A few good friends decided to carry those boxes upstairs. Which of them fell first? Bob, obviously; Tamara just "
    "laughed, grabbed both lamps and jumped.",
    "Vegetables improve most meals. Chop some mushrooms, fry garlic, add basil, simmer everything until soft, "
    "and have a pot of tea meanwhile.",
    "Climbing alone above Mumbai, Philip remembered five wonderful months abroad: rubber plantations, elephants, "
    "terrible monsoon showers.",
    "My computer beeped, hummed and finally gave up. This problem frightens programmers most: "
    "nobody ever saved a backup.",
)

# What the clip that ships says; there is a pause between the two.
DEMO_SPEECH = (
    "Hello, and welcome. I was drawn with circles and curves, and I learned to speak from made-up voices.",
    "Any number of computers may share the work: each one paints a few seconds of me. Can you tell where they meet?",
)
