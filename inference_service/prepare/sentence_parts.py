"""The building blocks of the sentences: clauses by kind of sentiment word, neutral context, neutral fillers."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENDINGS = {
    "adverb": r".ly$",
    "adjective": r"(ful|ous|ive|less|able|ible|ical|ant|[^m]ent)$",
    "noun": r"(ness|ment|sion|tion|ity|ance|ence|ism|ship|dom|hood)$",
}
"""How a word of the lexicon shows its kind; tried in this order, after the words below."""

PLAIN_WORDS = {
    "adjective": _words(
        "angry awesome awful bad beloved best bitter bland bleak boring brave bright brilliant cheap cheerful "
        "clean clever cool corrupt crazy cruel cute dead dirty divine dull dumb easy eager elegant evil "
        "excellent fake fantastic fine foul fresh friendly fun funny gentle genuine glad gloomy good grand "
        "great grim gross happy harsh horrible horrid ill insane kind lame lazy lively lonely lousy lovely "
        "lucky mad magnificent mean miserable nasty nice noble odd perfect poor pretty proud rich rotten rude "
        "sad safe scary secure shady sick silly sincere smart sorry special splendid strong stupid sublime "
        "super superb sweet terrible terrific tough tragic ugly unfair unhappy vile warm weak weird wicked "
        "wise wonderful worst wrong annoying confusing damaging depressing devastating disappointing "
        "disgusting distressing disturbing embarrassing exhausting frightening frustrating insulting "
        "intimidating irritating menacing misleading shocking terrifying threatening worrying worsening "
        "damaged distorted failed flawed poisoned rigged ruined stolen wasted amazing amusing appealing "
        "captivating caring charming comforting convincing encouraging engaging entertaining exciting "
        "fascinating inspiring interesting inviting outstanding pleasing promising relaxing rewarding "
        "satisfying soothing stimulating thrilling touching welcoming winning blessed improved inspired "
        "talented treasured"
    ),
    "noun": _words(
        "abuse agony anger anxiety beauty betrayal bliss chaos charm comfort courage crime damage danger "
        "death delight despair disaster disgust doubt faith failure fear fraud freedom fun glory grace grief "
        "guilt happiness harm hate hatred heaven hell honor hope horror hostility humor insult inspiration "
        "joy laughter love loyalty luck lies mercy misery mess pain panic passion peace pity pleasure poison "
        "praise pride rage regret relief respect sadness shame success sorrow stress strength suffering "
        "support talent terror threat tragedy trash treasure trouble trust violence virtue warmth waste "
        "wealth wisdom worry"
    ),
    "verb": _words(
        "loved hated enjoyed admired adored despised disliked praised ruined destroyed wrecked improved "
        "respected insulted betrayed blamed cheated attacked supported saved rescued welcomed appreciated "
        "cherished mocked neglected abused condemned criticized harmed hurt damaged rewarded thanked trusted "
        "celebrated honored abandoned rejected treasured"
    ),
}
"""Words whose ending does not tell, or tells the wrong kind."""

CLAUSES = {
    "adjective": (
        "the {thing} was {adjective}",
        "the {thing} is {adjective}",
        "it was {adjective}",
        "this {thing} is {adjective}",
        "what a {adjective} {thing}",
        "a {adjective} {thing}",
        "such a {adjective} {thing}",
        "the {thing} felt {adjective} from the start",
        "{person} called the {thing} {adjective}",
        "we found the {thing} {adjective}",
        "everything about the {thing} seemed {adjective}",
        "the {thing} turned out to be {adjective} and {adjective}",
        "I think the {thing} is simply {adjective}",
        "a {adjective} {thing} with a {adjective} ending",
        "{person} was {adjective} and the {thing} was {adjective}",
        "the {thing} has become really {adjective}",
        "my visit to the {place} was {adjective}",
        "{person} told us a {adjective} story",
    ),
    "noun": (
        "the {thing} was full of {noun}",
        "there was {noun} in every part of the {thing}",
        "{person} spoke of {noun} and {noun}",
        "all I felt was {noun}",
        "the {thing} brought {noun} to the whole {group}",
        "it was pure {noun}",
        "the {thing} ended in {noun}",
        "{person} remembers the {noun} of that day",
        "I see only {noun} in this {thing}",
    ),
    "adverb": (
        "the {thing} worked {adverb}",
        "{person} behaved {adverb}",
        "the {group} was treated {adverb}",
        "the {thing} was {adverb} made",
        "{person} answered us {adverb}",
        "the {thing} was {adverb} and {adverb} organised",
    ),
    "verb": (
        "{person} {verb} the {thing}",
        "I {verb} it",
        "I {verb} this {thing}",
        "we {verb} every part of the {thing}",
        "the {group} {verb} {person}",
        "everyone in the {group} {verb} the {thing}",
    ),
}

OPENINGS = (
    "on {day}",
    "last {month}",
    "in {town}",
    "when {person} arrived at the {place},",
    "as far as I can tell,",
    "in the second half of the {thing},",
    "during the week in {town},",
    "I watched it on {day} and",
    "after {number} hours at the {place},",
    "according to the {group},",
    "to me",
    "for {number} coins,",
    "{person} says that",
)

TAILS = (
    "in {town}",
    "on {day}",
    "today",
    "at the {place}",
    "for {number} days",
    "with the {group}",
    "which {person} had booked in {month}",
    "before the {group} went back to {town}",
    "while {person} was standing at the {place}",
    "and then we took the {vehicle} to {town}",
    "as {person} said to the {group} on {day}",
    "that the {group} had seen in {month}",
    "near the {place} in {town}",
    "between {month} and {month}",
    "and it took about {number} minutes by {vehicle}",
    "when it was {number} o'clock at the {place}",
)

FILLERS = {
    "thing": _words(
        "film movie book hotel room meal dinner service phone camera song concert lecture course game story "
        "plot trip flight website product coat chair car speech play show album restaurant coffee soup "
        "decision plan project house garden view holiday performance article experience screen battery"
    ),
    "person": (
        *_words("Anna Peter Maria Tom Sarah David Julia Mark Elena Robert Nina Paul"),
        "my brother",
        "my sister",
        "our neighbour",
        "the teacher",
        "the waiter",
        "the driver",
        "the manager",
        "the doctor",
        "the author",
        "the actor",
    ),
    "group": _words("team family class audience crew group staff village department company"),
    "place": _words("station airport museum office school market library bridge harbour reception cinema corner"),
    "town": _words("Rome Oslo Boston Lima Vienna Toronto Kyoto Dublin Madrid Chicago Lisbon Prague"),
    "day": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": _words("January March April June August September October November"),
    "number": _words("two three four five six ten twelve twenty thirty"),
    "vehicle": _words("train bus ferry taxi tram"),
}
