"""Makes the plugin's price table from the PyPI package genai-prices, and test cases with the costs of its own calculator.

prices.py table FILE DAY        writes the table; DAY (2026-11-22) is not changed if FILE is from the same version
prices.py cases SEED COUNT AT   prints the version, then COUNT random calls after AT (seconds since 1970) with their costs
prices.py supplement FILE TABLE prints what the supplement FILE has that the table has too, or has differently
prices.py models AT             prints a call of each model with every quantity that has a rate, and its cost
"""

import json
import random
import re
import sys
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path

from genai_prices import Usage, calc_price
from genai_prices import types as t
from genai_prices.data_snapshot import get_snapshot

ABOUT = """\
Prices of models. Written by './build.sh prices' from the data of genai-prices, see NOTICE.
"providers" has a provider's models under "PROVIDER OTHER...". A model that is not listed is looked up at the others.
A model is ["NAME...", "RATE... ; WHEN... RATE... ; ..."].
NAME: '*' matches any text, '#' a digit. A name without wildcards takes precedence; otherwise the first match is used.
A date at the end of a name is omitted if the name without it has the same prices. '?' instead of rates: unknown.
RATE: USD per million tokens of input (i), output (o), cached input (r), input written to a cache (w; for an hour h), reasoning
(n), citations (c), audio (ia oa ra), images (ii oi ri), video (iv ov); per 1000 requests (q), web searches (s), file searches
(f); per hour of audio (a). A quantity without a rate has the rate of the quantity that it is part of.
WHEN: >TOKENS (more input tokens), @DAY (from that day on), @HH:MM-HH:MM (daily), or a tier; times are UTC. If all conditions
of a part hold, its rates replace earlier ones; 'i-' removes a rate.
"""

# Price keys of genai-prices and their names in the table.
RATES = {
    "input_mtok": "i",
    "output_mtok": "o",
    "cache_read_mtok": "r",
    "cache_write_mtok": "w",
    "cache_write_1h_mtok": "h",
    "output_reasoning_mtok": "n",
    "output_citation_mtok": "c",
    "input_audio_mtok": "ia",
    "output_audio_mtok": "oa",
    "cache_audio_read_mtok": "ra",
    "input_image_mtok": "ii",
    "output_image_mtok": "oi",
    "cache_image_read_mtok": "ri",
    "input_video_mtok": "iv",
    "output_video_mtok": "ov",
    "requests_kcount": "q",
    "web_searches_kcount": "s",
    "storage_searches_kcount": "f",
    "audio_hours": "a",
}
# Quantities that responses do not report. A model that charges for one of these cannot be priced.
UNSEEN = {
    "input_mchars",
    "input_text_messages_kcount",
    "input_document_kpages",
    "input_annotated_document_kpages",
}
# Conditions of genai-prices, and the tiers as providers name them.
TIERS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
DATE = re.compile(r"[-@]20\d\d(-?)\d\d\1\d\d(?=:|$)")
COMPACT = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=:|$)")
NO_SPEECH = r"^(?!.*-[tT][tT][sS](?:$|-))"


# ---- The table ----


def table(file, day):
    source = f"genai-prices {version('genai-prices')}"
    before = json.loads(file.read_text()) if file.exists() else {}
    day = before["date"] if before.get("source") == source else day
    now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    providers = get_snapshot().providers
    blocks = {p.id: lines(p, now) for p in providers}
    # Providers without fallbacks come first, because others depend on their names.
    for provider in sorted(providers, key=lambda p: bool(p.fallback_model_providers)):
        askers = [p for p in providers if p is provider or provider.id in (p.fallback_model_providers or [])]
        spare(provider, now, blocks, [[p.id, *(p.fallback_model_providers or [])] for p in askers])
    said = {}
    for provider in providers:
        asked = " ".join(map(slug, [provider.id, *(provider.fallback_model_providers or [])]))
        said[asked] = [[" ".join(sorted(names)), rates] for names, rates in blocks[provider.id] if names]
    file.write_text(written({"about": ABOUT.splitlines(), "source": source, "date": day, "providers": said}))


def written(value, depth=0):
    """JSON with a line for each string in a list, for each list of strings in a list, and for each key."""
    pad, end = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {written(each, depth + 1)}" for key, each in value.items()]
        text = "{" + pad + f",{pad}".join(members) + end + "}"
        return text if depth else text + "\n"
    if isinstance(value, list):
        return "[" + pad + f",{pad}".join(map(json.dumps, value)) + end + "]"
    return json.dumps(value)


def slug(provider):
    return provider.lower().replace("_", "-")


def lines(provider, now):
    """The names and prices of each model."""
    full = []
    for model in provider.models:
        names, voiceless = globs(model.match)
        full.append(([f"{start}{end}" for start in voiceless for end in ("-tts", "-tts-*")], "?"))
        full.append((names, prices(model, now)))
    return full


def spare(provider, now, blocks, chains):
    """Removes the names without which all lookups at the provider, and at those that fall back to it, stay the same."""

    def wanted(name, chain):
        models = (m for asked in chain for p in get_snapshot().providers if p.id == asked for m in p.models)
        return prices(next(m for m in models if m.is_match(name)), now)

    for names, _ in blocks[provider.id]:
        # Exact names last: a glob can replace dated names, and a longer name is removed before the shorter one that
        # covers it.
        for name in sorted(names, key=lambda n: (exact(n), -len(n), n)):
            names.remove(name)
            sample = name.replace("########", "20260101").replace("####-##-##", "2026-01-01")
            if exact(sample):
                needless = all(found([blocks[p] for p in chain], sample) == wanted(sample, chain) for chain in chains)
            else:
                needless = any(glob(other).fullmatch(name) for other in names)
            if not needless:
                names.append(name)


def exact(name):
    return "*" not in name and "#" not in name


@cache
def glob(name):
    return re.compile("".join({"*": ".*", "#": r"\d"}.get(c, re.escape(c)) for c in name))


def found(blocks, name):
    """The prices that the plugin finds for a name."""
    for form in (name, COMPACT.sub(r"-\1-\2-\3", name), DATE.sub("", name, count=1)):
        for lines in blocks:
            fits = [rates for names, rates in lines if form in names]
            fits += [rates for names, rates in lines if any(not exact(n) and glob(n).fullmatch(form) for n in names)]
            if fits:
                return fits[0]
    return "?"


def globs(clause):
    """The globs that are equivalent to a clause, and those of them that exclude names with `-tts`."""
    match clause:
        case t.ClauseOr():
            both = [globs(c) for c in clause.or_]
            return [g for some, _ in both for g in some], [g for _, voiceless in both for g in voiceless]
        case t.ClauseAnd(and_=[t.ClauseStartsWith() as start, t.ClauseRegex(regex=regex)]) if regex == NO_SPEECH:
            return globs(start)[0], globs(start)[0]
        case t.ClauseEquals():
            return [literal(clause.equals)], []
        case t.ClauseStartsWith():
            return [literal(clause.starts_with) + "*"], []
        case t.ClauseEndsWith():
            return ["*" + literal(clause.ends_with)], []
        case t.ClauseContains():
            return ["*" + literal(clause.contains) + "*"], []
        case t.ClauseRegex():
            return expanded(clause.regex), []
    raise SystemExit(f"the table cannot represent the clause {clause}")


def literal(text):
    assert re.fullmatch(r"[^\s*#?]+", text), f"the table cannot represent the name {text}"
    return text.lower()


def expanded(regex):
    """The globs equivalent to a regular expression made of literals, digits, character sets and optional groups."""
    text = re.sub(r"\\d(?:\{(\d)\})?", lambda m: "#" * int(m[1] or 1), regex.removeprefix("^"))
    text = text.removesuffix("$") if regex.endswith("$") else text + "\0"
    done, todo = [], [text]
    while todo:
        text = todo.pop()
        if m := re.search(r"(?<!\\)\(([^()]*)\)(\??)", text):
            todo += [text[: m.start()] + word + text[m.end() :] for word in ([m[1], ""] if m[2] else [m[1]])]
        elif m := re.search(r"(?<!\\)\[([^]]*)\]", text):
            todo += [text[: m.start()] + letter + text[m.end() :] for letter in m[1]]
        else:
            done.append(re.sub(r"\\(\W)", r"\1", text).replace("\0", "*").lower())
            assert re.fullmatch(r"[\w./@:=\[\]#-]+\*?", done[-1]), f"the table cannot represent the pattern {regex}"
    return done


def prices(model, now):
    """The table's text of a model's prices from `now` on."""
    options = model.prices if isinstance(model.prices, list) else [t.ConditionalPrice(prices=model.prices)]
    variants = model.price_variants or []
    if any(UNSEEN & said(p.prices).keys() for p in [*options, *variants]):
        return "?"
    parts, before = [], set()
    for option in options:
        when = moment(option.constraint, now)
        if not when:
            parts, before = [], set()
        known = rates(option.prices)
        parts += sections(when, known, [f"{key}-" for key in sorted(before - known.keys())])
        before |= known.keys()
    # genai-prices uses the first variant with a rate, the table the last part with one.
    for variant in reversed(variants):
        words = [TIERS.get(pair) for pair in variant.when.items()]
        if None not in words:
            parts += sections(words + moment(variant.constraint, now), rates(variant.prices), [])
    return " ; ".join(parts)


def moment(constraint, now):
    """The condition for a time constraint; none for a start date in the past."""
    match constraint:
        case t.StartDateConstraint() if not constraint.active(now):
            return [f"@{constraint.start_date}"]
        case t.TimeOfDateConstraint():
            return [f"@{utc(constraint.start_time)}-{utc(constraint.end_time)}"]
    return []


def utc(moment):
    whole = datetime.combine(datetime(2000, 1, 2), moment, moment.tzinfo or UTC).astimezone(UTC)
    assert whole.second == whole.microsecond == 0, f"the table cannot represent the seconds of {moment}"
    return f"{whole:%H:%M}"


def said(price):
    return {key: value for key, value in vars(price).items() if value is not None}


def rates(price):
    """The rates by their names in the table."""
    known = said(price)
    if known.get("input_audio_hours") == known.get("audio_hours"):
        known.pop("input_audio_hours", None)
    return {RATES[key]: value for key, value in known.items()}


def sections(when, known, gone):
    """The part with the base rates, and the parts for tiers by context length."""
    parts = {0: {}}
    for key, value in known.items():
        tiered = isinstance(value, t.TieredPrices)
        parts[0][key] = value.base if tiered else value
        for tier in value.tiers if tiered else []:
            parts.setdefault(tier.start, {})[key] = tier.price
    texts = []
    for start, rates in sorted(parts.items()):
        words = [*([f">{start}"] if start else []), *when]
        amounts = [f"{key}{amount(rates[key])}" for key in RATES.values() if key in rates]
        if amounts or not when:
            texts.append(" ".join([*words, *([] if start else gone), *amounts]))
    return texts


def amount(price):
    text = f"{price.normalize():f}"
    assert len(text.partition(".")[2]) <= 18, f"the table cannot represent the decimals of {text}"
    return text.removeprefix("0") if 0 < price < 1 else text


# ---- The supplement ----


def supplement(file, table):
    """Prints the rows of the supplement that the table makes needless or contradicts."""
    providers = json.loads(table.read_text())["providers"]
    own = {names.split(" ")[0]: models for names, models in providers.items()}
    for provider, rows in json.loads(file.read_text())["providers"].items():
        for names, rates, source in rows:
            wanted = {key: text for key, text in map(split, rates.partition(" ; ")[0].removeprefix("; ").split(" "))}
            patterns = names.split(" ")
            found = [(m, r) for m, r in own.get(provider, []) if any(fits(p, m.split(" ")) for p in patterns)]
            known = [dict(map(split, rates.partition(" ; ")[0].split(" "))) for _, rates in found]
            if not found and rates.startswith(";"):
                print(f"{provider}: no model of the table is {names}; the row has no effect ({source})")
            elif known and "*" not in patterns and all(rates.items() >= wanted.items() for rates in known):
                print(f"{provider}: the table has {rates} of {names} itself; remove the row")
            else:
                for (model, _), has in zip(found, known):
                    differ = [key for key in wanted if key in has and wanted[key] not in ("=", has[key]) and key]
                    if differ and "*" not in patterns:
                        print(f"{provider}: {model} has {' '.join(k + has[k] for k in differ)}, the row has {rates}; compare {source}")


def split(word):
    key = re.match("[a-z]*", word)[0]
    return key, word[len(key) :]


def fits(pattern, names):
    return any(glob(pattern).fullmatch(name) or glob(name).fullmatch(pattern) for name in names)


# ---- Calls and what they cost ----


def cases(chance, count, after):
    print(version("genai-prices"))
    providers = get_snapshot().providers
    while count:
        provider = chance.choice(providers)
        sources = [p for p in providers if p.id in (provider.fallback_model_providers or [])] + 2 * [provider]
        model = name(chance, chance.choice(chance.choice(sources).models).match)
        tier = chance.choice(["", "", "default", "batch", "flex", "priority", "fast"])
        at = after + chance.randrange(400 * 24 * 3600)
        used = usage(chance)
        # genai-prices rejects a name that matches no model, and the table has no price for models that it cannot
        # represent.
        try:
            call = calc_price(
                Usage(**used),
                model,
                provider_id=provider.id,
                genai_request_timestamp=datetime.fromtimestamp(at, UTC),
                price_context={"processing": tier, "service_tier": tier, "speed": tier},
            )
        except LookupError:
            continue
        if UNSEEN & said(call.model_price).keys():
            continue
        cost = int((call.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_UP))
        case = {"provider": provider.id, "model": model, "at": at, "tier": tier, "usage": used, "nanousd": cost}
        print(json.dumps(case))
        count -= 1


# Price keys, the quantities that they are for, and how many of them a call has.
QUANTITIES = {
    "input_mtok": ("input_tokens", 1_000),
    "cache_read_mtok": ("cache_read_tokens", 300),
    "cache_write_mtok": ("cache_write_tokens", 200),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", 70),
    "input_audio_mtok": ("input_audio_tokens", 110),
    "cache_audio_read_mtok": ("cache_audio_read_tokens", 13),
    "input_image_mtok": ("input_image_tokens", 90),
    "cache_image_read_mtok": ("cache_image_read_tokens", 11),
    "input_video_mtok": ("input_video_tokens", 50),
    "output_mtok": ("output_tokens", 900),
    "output_reasoning_mtok": ("output_reasoning_tokens", 210),
    "output_citation_mtok": ("output_citation_tokens", 40),
    "output_audio_mtok": ("output_audio_tokens", 120),
    "output_image_mtok": ("output_image_tokens", 130),
    "output_video_mtok": ("output_video_tokens", 140),
    "web_searches_kcount": ("web_searches", 2),
    "storage_searches_kcount": ("storage_searches", 3),
    "audio_hours": ("audio_seconds", 70),
}


def models(after):
    at = datetime.fromtimestamp(after, UTC)
    for provider in get_snapshot().providers:
        for model in provider.models:
            rated = said(model.get_prices(at))
            if UNSEEN & rated.keys():
                continue
            used = {quantity: count for key, (quantity, count) in QUANTITIES.items() if key in rated}
            if "audio_seconds" in used:
                used["input_audio_seconds"] = used["audio_seconds"]
            named = name(random.Random(0), model.match)
            try:
                call = calc_price(Usage(**used), named, provider_id=provider.id, genai_request_timestamp=at)
            except LookupError:
                continue
            if call.model is not model:
                continue
            cost = int((call.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_UP))
            print(json.dumps({"provider": provider.id, "model": named, "at": after, "tier": "", "usage": used, "nanousd": cost}))


def name(chance, clause):
    """A random name that a clause probably matches."""
    ends = ["", "-latest", "-20260301", "-2026-03-01", "@20260301", ":0", "x"]
    match clause:
        case t.ClauseOr():
            return name(chance, chance.choice(clause.or_))
        case t.ClauseAnd():
            return name(chance, clause.and_[0])
        case t.ClauseEquals():
            return chance.choice([str, str, str.upper])(clause.equals)
        case t.ClauseStartsWith():
            return clause.starts_with + chance.choice(ends)
        case t.ClauseEndsWith():
            return chance.choice(["", "x"]) + clause.ends_with
        case t.ClauseContains():
            return chance.choice(["", "us.", "x/"]) + clause.contains + chance.choice(ends)
        case t.ClauseRegex():
            glob = chance.choice(expanded(clause.regex)) if clause.regex != NO_SPEECH else ""
            return glob.replace("########", "20260301").replace("####-##-##", "2026-03-01").replace("#", "7").replace("*", "x")


def usage(chance):
    def some(most):
        return chance.choice([0, chance.randrange(100), chance.randrange(most)])

    text, audio, image, video = (some(most) for most in (600_000, 9_000, 9_000, 9_000))
    cached, cached_audio, cached_image = (chance.randint(0, whole) for whole in (text, audio, image))
    written = chance.randint(0, text - cached)
    answer, spoken, drawn, filmed = (some(most) for most in (90_000, 9_000, 9_000, 9_000))
    thought = chance.randint(0, answer)
    # Groq charges at least 10 seconds.
    seconds = chance.choice([0, chance.randint(10, 9_000)])
    return {
        "input_tokens": text + audio + image + video,
        "cache_read_tokens": cached + cached_audio + cached_image,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": chance.randint(0, written),
        "input_audio_tokens": audio,
        "cache_audio_read_tokens": cached_audio,
        "input_image_tokens": image,
        "cache_image_read_tokens": cached_image,
        "input_video_tokens": video,
        "output_tokens": answer + spoken + drawn + filmed,
        "output_reasoning_tokens": thought,
        "output_citation_tokens": chance.randint(0, answer - thought),
        "output_audio_tokens": spoken,
        "output_image_tokens": drawn,
        "output_video_tokens": filmed,
        "web_searches": chance.randrange(3),
        "storage_searches": chance.randrange(3),
        "audio_seconds": seconds,
        "input_audio_seconds": seconds,
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["table", file, day]:
            table(Path(file), day)
        case ["supplement", file, table_file]:
            supplement(Path(file), Path(table_file))
        case ["cases", seed, count, after]:
            cases(random.Random(seed), int(count), int(after))
        case ["models", after]:
            models(int(after))
        case _:
            sys.exit(__doc__)
