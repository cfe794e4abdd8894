"""Words the generated reviews are made of: the commonest first, so that rank means frequency (Zipf)."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COMMON = _words("""
    the a and of to is it in this that i was as for with movie but film on not you he are his have one be at all by an
    who they from so like or just about her out has there if what more when time she up even no would really my only
    some can story which see their had were me we than much been do get will also because into people other how most
    first after made him then make them way too could two think its watch any where after scene plot acting never
    little know character did many films ever life over seen off show man still being such love through every these
    back something before off those go again end characters thing old though another while nothing years actually
    director between find going same part work look actors lot scenes why cast world down here however long now young
    seems makes around must both fact quite comes series day role guy pretty new always point saw give right music
    script family minutes almost watching interesting done kind whole thought things far few come big set moment
""")
"""Function words and the nouns of film talk, in falling order of use."""

RARE = _words("""
    screenplay cinematography soundtrack protagonist narrative sequel remake adaptation documentary melodrama thriller
    detective orchestra landscape underworld apprentice conspiracy nightclub submarine aristocrat telegraph vaudeville
    lighthouse gunslinger choreography silhouette subplot montage voiceover flashback epilogue prologue ensemble
    caretaker smuggler violinist parachute expedition masquerade courtroom stagecoach typewriter quarantine inheritance
    monologue understudy projectionist matinee storyboard soundstage storyteller zoologist trapeze harpsichord
    marionette kaleidoscope watchmaker cartographer ventriloquist lamplighter counterfeiter
""")
"""The tail: longer words, which a WordPiece vocabulary cuts into several tokens."""

POSITIVE = _words("""
    wonderful brilliant superb touching delightful gripping charming excellent beautiful hilarious moving clever
    masterful unforgettable heartfelt stunning warm witty thrilling perfect
""")
NEGATIVE = _words("""
    awful boring terrible dull clumsy predictable tedious horrible lifeless annoying pointless shallow dreadful
    ridiculous painful bland messy forgettable lazy unbearable
""")

SUBJECTS = _words("""
    acting story plot dialogue ending music camera pacing humour script cast directing editing scenery costumes
    opening climax premise soundtrack chemistry
""")
ADVERBS = _words("utterly truly simply rather quite really surprisingly mostly completely often")
JOINERS = ("and the", "while the", "because the", "and i felt the", "and for once the", "just as the")
