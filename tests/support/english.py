"""English, as far as names and docstrings need it: participles, adverbs and verbs.

The lists are short on purpose: words that programs use. A word that
is missing is added when somebody meets it.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Past participles that do not end in -ed, and past tenses that are used like them. Those that are
# also the plain verb (set, put, cut, read, split, become) are left out.
IRREGULAR = _words(
    """
    beaten begun bent bitten bled blown born borne bought bound broke broken brought built
    burnt caught chosen clung crept dealt done drawn driven drunk dug eaten fallen fed felt
    fled flown forbidden forgotten forsaken fought found frozen gave given gone got gotten
    grown had heard held hidden hung kept knelt knew known laid led left lent lit lost made
    meant met paid proven ran rung said sat seen sent shaken shone shorn shot shown shrunk
    slain slept slid sold sought spent spoken sprung spun stolen stood stricken struck stuck
    stung sung sunk swept swollen sworn swum swung taken taught thought thrown told took torn
    understood was went woken won worn wound woven written wrote wrung
    """
)
PREFIXES = ("un", "re", "over", "out", "with", "fore", "mis")

# Words in -ed that are no participles.
ENDING_IN_ED = _words(
    """
    bed embed feed heed need red seed shed shred sled speed wed weed
    """
)

ADVERBS = _words(
    """
    above after again ahead alike almost alone already also always among anew apart around
    aside away before behind below beneath beside besides beyond early elsewhere enough even
    ever everywhere far fast hence here instead just late later maybe meanwhile more most near
    nearby never nonetheless nowhere often once onward otherwise outside perhaps quite rather
    seldom since somewhere soon still there therefore thus together too twice upward very well
    where within without yet
    """
)

# Words in -ly that are no adverbs.
ENDING_IN_LY = _words(
    """
    anomaly apply assembly comply family fly imply multiply only poly rely reply resupply
    supply tally
    """
)

# Verbs that are hardly ever nouns: a docstring that begins with one begins with a verb.
VERBS = _words(
    """
    accept adapt add allow annotate append apply arrange ask assemble assert attach
    authenticate avoid be become begin bind bring build carry choose clean coalesce collect
    combine compare compute configure connect consume contain convert create deal decide
    decode define deliver describe deserialise deserialize detect determine discard divide do
    embed emulate encode ensure enumerate expect explain expose extract fill find follow
    forget gather generate get give handle has have help hide hold hydrate identify imitate
    implement include inspect instruct join keep know learn leave lend let make manage obtain
    own parse pay perform prepare prevent produce provide publish receive recognise
    reconstruct reduce refuse rehydrate remember remove render replace represent rescore
    resolve respond restore retrieve reuse say see select send separate serialise serialize
    serve settle show simulate solve speak subscribe take teach tell translate try understand
    unify unlock upsert validate verify wrap
    """
)

# Verbs that are nouns as well: what follows decides.
VERBS_OR_NOUNS = _words(
    """
    account act answer attempt batch bound break call change check claim close command copy
    cost count cut delay delete digest dispatch display drive drop end exchange export fake
    fault feed fetch filter flow format forward fuse group guard hand import index influence
    iterate judge lay lead limit link list load lock log look map mark match mean measure
    merge move name offer open order pack page pass pause pick pin plan play point poll pool
    present print process promise pull push put query queue raise rank reach read reason record
    release reply report request rescue reset retry return review row run save scan schedule
    score search set share shuffle sign sleep sort speed split stand start state step stop
    store stream swap switch test throw trace track transfer transform treat turn update use
    value view wait walk watch work write yield
    """
)

# What follows a verb that could be a noun: "Answer what", "Call an"; and so may any plural:
# "Score hits".
OBJECTS = _words(
    """
    a all an another any both each either every everything her his how its many more most my
    neither no nothing one only other our several some such the their them these this those
    three two up us what whether who whom why your
    """
)


def is_participle_or_adverb(word: str) -> bool:
    """Return whether one lower-case word is a past participle or an adverb."""
    if word in ADVERBS or (word.endswith("ly") and word not in ENDING_IN_LY):
        return True
    if word.endswith("ed") and word not in ENDING_IN_ED and not word.endswith("eed"):
        return True
    stems = [word, *(word.removeprefix(prefix) for prefix in PREFIXES if word.startswith(prefix))]
    # `atold` is the awaited `told`.
    return any(stem in IRREGULAR for stem in [*stems, word.removeprefix("a")])


def begins_with_verb(text: str) -> bool:
    """Return whether a text begins with a verb, in the imperative or the third person."""
    words = text.split(maxsplit=2)
    if not words:
        return False
    first = words[0].lower().strip("`.,:;")
    if _is_form_of(first, VERBS):
        return True
    if len(words) == 1 or words[0].lower() not in VERBS_OR_NOUNS:
        return False
    following = words[1].lower().strip("`.,:;()")
    is_plural = following.endswith("s") and not following.endswith(("ss", "us", "is"))
    return following in OBJECTS or is_plural


def _is_form_of(word: str, verbs: frozenset[str]) -> bool:
    stems = {word, word.removesuffix("s"), word.removesuffix("es")}
    if word.endswith("ies"):
        stems.add(word.removesuffix("ies") + "y")
    return not verbs.isdisjoint(stems)
