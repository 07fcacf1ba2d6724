"""The words of quick add, English and German. `web/static/words.js` has the same tables."""


def _table(text: str) -> dict[str, int]:
    """The number of each word of a line `number: word word`."""
    rows = (line.split(":") for line in text.strip().splitlines())
    return {word: int(number) for number, words in rows for word in words.split()}


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS = _table(
    """
    1: a an one ein eine einen einem einer
    2: two zwei
    3: three drei
    4: four vier
    5: five fünf
    6: six sechs
    7: seven sieben
    8: eight acht
    9: nine neun
    10: ten zehn
    11: eleven elf
    12: twelve zwölf
    """
)
# Monday is 0.
WEEKDAYS = _table(
    """
    0: monday mon montag
    1: tuesday tue tues dienstag
    2: wednesday wed weds mittwoch
    3: thursday thu thur thurs donnerstag
    4: friday fri freitag
    5: saturday sat samstag sonnabend
    6: sunday sun sonntag
    """
)
# Of which some are words of other meaning, so that they count only where a weekday must stand.
SHORT_WEEKDAYS = WEEKDAYS | _table("0: mo\n1: di\n2: mi\n3: do\n4: fr\n5: sa\n6: so")
MONTHS = _table(
    """
    1: january jan januar jänner
    2: february feb februar
    3: march mar märz mär
    4: april apr
    5: may mai
    6: june jun juni
    7: july jul juli
    8: august aug
    9: september sep sept
    10: october oct oktober okt
    11: november nov
    12: december dec dezember dez
    """
)
ORDINALS = _table(
    """
    1: first 1st ersten erste erster erstes
    2: second 2nd zweiten zweite zweiter zweites
    3: third 3rd dritten dritte dritter drittes
    4: fourth 4th vierten vierte vierter viertes
    5: fifth 5th fünften fünfte fünfter fünftes
    -1: last letzten letzte letzter letztes
    """
)
UNITS = {
    word: unit
    for unit, words in {
        "DAILY": "day days d tag tage tagen",
        "WEEKLY": "week weeks w woche wochen",
        "MONTHLY": "month months m monat monate monaten",
        "YEARLY": "year years y jahr jahre jahren",
    }.items()
    for word in words.split()
}
# Minutes since midnight.
PARTS = _table(
    """
    540: morning morgen früh vormittag
    720: mittag
    840: afternoon nachmittag
    1200: evening night abend
    """
)
PRIORITIES = {"1": 1, "2": 5, "3": 9, "4": None}

# A date after one of these is none that something is due on: "the second monday", "before friday".
NO_DATE_AFTER = _set(
    """
    the a an my your his our their its of for to from about before after since until till last past first
    second third fourth fifth sixth 1st 2nd 3rd 4th 5th 6th black good cyber easter ash palm der die das den
    dem des ein eine einen einem für vor nach seit vom letzten letzte letzter ersten zweiten dritten
    vierten fünften
    """
)
# "Guten Morgen", "am Morgen".
NO_MORGEN_AFTER = _set("guten am jeden jeder diesen gestern schönen einen der zum")
# Short words that are more often something else.
DOUBTFUL = _set("mon wed sat sun weekend may mar march tom tod")
NO_DOUBTFUL_AFTER = _set("i he she we they you who it in under into mit with and or und")
NO_TOM_AFTER = _set(
    """
    call ask tell meet for to from email mail text see visit help invite remind of by thank phone
    message ping uncle mr give show let pay
    """
)
# What an hour that stands after "at" may be followed by: "at 9 with Ann", but not "at 9 Main Street".
AFTER_HOUR = _set("with for in on and then to or but sharp mit für und zum zur beim bei")
# What a number after "um" may count: "um 5 Euro".
COUNTED = _set(
    """
    prozent % euro € tag tage tagen stunde stunden minute minuten woche wochen monat monate monaten jahr
    jahre jahren kg km cm m grad punkte stellen
    """
)
# What may follow a doubtful word that is a date.
OPENERS = _set(
    """
    at by um every jeden jede jedes alle until noon tonight p1 p2 p3 p4 mittags gegen starting
    """
)
NO_NUMBER_AFTER = _set(
    """
    version section chapter verse step page paragraph ratio score kapitel abschnitt seite nr no § v
    """
)
RANGES = _set("- \N{EN DASH} \N{EM DASH} to till until through bis")
ANDS = _set("and und & or oder")
