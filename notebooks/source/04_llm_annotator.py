# %% [markdown]
# # A language model as annotator: what its answers are worth
#
# A small language model answers by habit until it is shown examples; then the question is what it adds to them.
#
# **Afterwards you can**
#
# - check whether a language model adds anything to the examples that it is shown;
# - say what wrong labels among the examples do, and why NoiseAL takes them from its clean set R;
# - read a confidence: calibration, abstention, accuracy against coverage;
# - say what a question costs, and when a larger budget of questions is worth it;
# - find out how far an unknown annotator is to be believed, and when a dear one should stand behind a cheap one.
#
# **You need** notebooks 00 and 03 (the sets R, H and P).

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 1000
test_size = 500
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
queries_per_class = 4
text_tokens = 24
budget_noise = "asymmetric"
llm_budget = 30
recorded = True
results = ""

# %% [markdown]
# `queries_per_class` validation texts of each class are asked about; of every text the model reads the
# first `text_tokens` tokens. `budget_noise` and `llm_budget` are the noise and the questions of section 6; 7 has
# four times as many. `annotator` may be any chat API: `"gpt-4o-mini@https://api.openai.com/v1"`, or
# `"qwen3@http://127.0.0.1:11434/v1"` for Ollama; its key is read from the environment's OPENAI_API_KEY and shown
# nowhere. Then everything is asked anew.

# %%
import time

import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.annotate.examples import retrieve
from nlkit.course.saying import amount, compare, extremes, gap, listed, ranked, say, when

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="llm_annotator",
)  # fmt: skip
names, texts, noisy_label, label = setup.names, setup.texts, setup.noisy_label, setup.label
more = {"queries_per_class": queries_per_class, "text_tokens": text_tokens}

validation = setup.clean["validation"].to_pandas()
asked = validation.groupby("label").head(queries_per_class).sort_values("label", kind="stable")
queries, truth = asked["text"].tolist(), asked["label"].to_numpy()

setup

# %% [markdown]
# ## 1. Asked without an example
#
# **Question.** How good is the annotator (by default SmolLM2, a language model of 135 million parameters) at
# telling the topics apart?
#
# The model writes nothing. It reads a prompt that ends with *Label:* and we ask how likely it finds each
# label word as the continuation. The likeliest is its answer, and its share among the labels is its
# **confidence**. Without an example this is called **zero-shot**.
#
# **Experiment.** We ask about a few validation texts of every topic, so that a habit cannot hide behind the
# two large topics. In the same run the same texts are asked with **demonstrations**, for section 2: solved
# examples, put before the question. They are
#
# - the k training texts nearest to the question, by MiniLM, out of the **clean set R** that NoiseAL's two
#   models believe (nobody is asked for that, and no true label is used), with their observed labels;
# - or four texts drawn at random from R, the same for all questions; three draws.

# %%
llm = setup.make_annotator(max_text_tokens=text_tokens)
CLEAN, OBSERVED, TRUE = "clean set R", "all texts, observed labels", "all texts, true labels"
RANDOM, SHOTS = "random", (1, 4)


def ask(way, demonstrations=None, rows=None):
    """Ask all queries; return the answers' table, their probabilities, and what was shown."""
    answers = llm.annotate(queries, names, demonstrations)
    rows = rows or [[]] * len(queries)
    shown = np.array([[-1] * (max(SHOTS) - len(r)) + list(r) for r in rows])
    table = pd.DataFrame(
        {
            "query": range(len(queries)), "way": way, "k": (shown >= 0).sum(1), "label": answers["label"],
            "right": answers["label"] == truth, "confidence": answers["confidence"],
            "tokens": answers["prompt_tokens"],
        }
    )  # fmt: skip
    return table, answers.filter(regex=r"^p_\d+$").to_numpy(), shown


def collected(asked):
    """Put what several calls of `ask` returned below each other."""
    tables, probabilities, shown = zip(*asked, strict=True)
    return {
        "answers": pd.concat(tables, ignore_index=True), "probability": np.concatenate(probabilities),
        "shown": np.concatenate(shown),
    }  # fmt: skip


def nearest_of(pool, rows_of_pool, way):
    """Ask with the nearest examples of a pool, for each k."""
    for k in SHOTS:
        demonstrations, near = retrieve(queries, pool, k, encoder=encoder)
        yield ask(way, demonstrations, [rows_of_pool[own].tolist() for own in near])


observed = setup.ds["train"].select_columns(["text", "noisy_label"]).rename_column("noisy_label", "label")


def clean_demonstrations():
    # class_floor=0: R is what the threshold trusts, and nothing else.
    noiseal = nk.NoiseAL(annotator=None, query_budget=0, class_floor=0, **setup.shared).fit(setup.ds)
    clean_set = np.flatnonzero(noiseal.partition_["set"] == "R")
    asked = [ask("zero-shot"), *nearest_of(observed.select(clean_set), clean_set, CLEAN)]
    for draw in range(3):
        drawn = np.random.default_rng([seed, draw]).choice(clean_set, max(SHOTS), replace=False)
        shared = [nk.annotators.Demonstration(texts[i], int(noisy_label[i])) for i in drawn]
        asked.append(ask(f"{RANDOM} {draw + 1}", shared, [drawn.tolist()] * len(queries)))
    return collected(asked) | {"clean_set": clean_set}


run = setup.run("llm_annotator", clean_demonstrations, **more)
run

# %%
first = run["answers"]
zero = first[first["way"] == "zero-shot"]
answered = zero["label"][zero["label"] >= 0]
given = np.bincount(answered, minlength=len(names)) / max(1, len(answered))
asked_for = np.bincount(truth, minlength=len(names)) / len(truth)
fig, ax = nk.plots.figure(width=8.5, height=max(3.8, 0.3 * len(names)))
alt = nk.plots.draw_label_shares({"true labels": asked_for, "zero-shot answers": given}, names, ax)
nk.plots.show(fig, alt)
print(f"{llm.name}: {100 * zero['right'].mean():.0f} % of {len(zero)} zero-shot answers are right")

# %% tags=["finding"]
favourite = int(given.argmax())
told = say(
    f"**What we saw.** Without an example {annotator} is right in {amount(zero['right'].mean())}. Its favourite answer is"
    f" {names[favourite]}: {amount(given[favourite])} of its answers, where {amount(asked_for[favourite])} of the texts are.",
    when(given[favourite] > 2 * asked_for[favourite], "That is a habit, whatever the text is about."),
)
told

# %% [markdown]
# **Why a habit.** A model that knows little of the topics falls back on what it finds likely anyway: a word that it
# likes, or the first one of the list. Such **label bias** is known of far larger models too (Zhao et al. 2021);
# calibration, which notebook 06 looks at, takes out a part of it. The question remains how one would *notice*:
# where few topics make up most of the texts, the same habit can look like a decent accuracy.

# %% tags=["check"]
assert np.isclose(asked_for.sum(), 1)
assert zero["k"].eq(0).all()
assert f"{100 * given.max():.1f} % of its answers" in told
if run.as_given:
    assert given.max() > 0.6, "most zero-shot answers should be one label"
    assert zero["right"].mean() < 0.5, "zero-shot should be wrong mostly"

# %% [markdown]
# ## 2. Asked with demonstrations
#
# **Question.** Do examples help? Does it matter which?

# %%
by_way = first.groupby(["way", "k"], sort=False)["right"].mean().rename("accuracy").reset_index()
nearest_few = by_way[by_way["way"] == CLEAN]
at_random = by_way[by_way["way"].str.startswith(RANDOM)]
fig, ax = nk.plots.figure(width=8.5, height=3.8)
alt = nk.plots.draw_shots(
    pd.concat([nearest_few.assign(way="nearest in R"), at_random]), ax, zero_shot=float(zero["right"].mean())
)
nk.plots.show(fig, alt)

# %% tags=["finding"]
ways = {f"{row.way}, {row.k}": row.accuracy for row in by_way.itertuples()}
best_near, best_random = (
    f"{b['way']}, {b['k']}" for b in (t.loc[t["accuracy"].idxmax()] for t in (nearest_few, at_random))
)
told = say(
    f"**What we saw.** Right, by way of asking and number of examples: {compare(ways, best_near, 'zero-shot, 0')};"
    f" the best draw at random: {compare(ways, best_random, best_near)}. The three draws differ by up to"
    f" {100 * np.ptp(at_random['accuracy']):.1f} points.",
    when(
        nearest_few["accuracy"].iloc[-1] <= nearest_few["accuracy"].iloc[0] + 0.005,
        "More near examples are not better here.",
        "More near examples are better here.",
    ),
)
told

# %% [markdown]
# What does the model do with its examples? Compare its answers with two things that need no language model: the
# label of the nearest example alone, and whether the true label is among the examples at all.


# %%
def examples(table, shown, labels):
    """Compare answers with the labels of the examples they were shown, per number of examples."""
    y = truth[table["query"]]
    seen = np.where(shown >= 0, labels[shown], -1)
    compared = table[["k", "right"]].assign(
        **{
            "nearest example right": seen[:, -1] == y,
            "true label among them": (seen == y[:, None]).any(1),
            "answer copies the nearest": seen[:, -1] == table["label"],
        }
    )
    return compared.groupby("k").mean()


with_clean = (first["way"] == CLEAN).to_numpy()
copied = examples(first[with_clean], run["shown"][with_clean], noisy_label)
copied.round(2)

# %% tags=["finding"]
copies = copied["answer copies the nearest"]
gain = copied["right"] - copied["nearest example right"]
told_copied = say(
    *(
        f"With {k} example{'s' * (k > 1)} {annotator} copies the nearest label in {amount(copies[k])} of its answers; it is right in"
        f" {amount(copied['right'][k])}, the nearest example in {amount(copied['nearest example right'][k])}."
        for k in SHOTS
    ),
    when(
        gain.max() < 0.02,
        "So it adds nothing to its nearest example, which is the encoder's merit, not its own.",
        "So it adds something to its nearest example.",
    ),
)
told_copied

# %% [markdown]
# Such a finding is one about a model of this size (and texts cut this short), not about language models; but the
# comparison is one that every few-shot result should stand beside. And where the true label is not among the
# examples, the answer is mostly lost: the model is not shown that label at all.

# %% tags=["check"]
told.check(ways)
assert all(amount(gained) in told_copied for gained in copied["right"])
assert copied.index.tolist() == list(SHOTS)
assert (copied["true label among them"] >= copied["nearest example right"]).all()
if run.as_given:
    assert nearest_few["accuracy"].min() > zero["right"].mean() + 0.2, "near examples should help much"
    assert at_random["accuracy"].max() < nearest_few["accuracy"].max() - 0.1, "random ones less"
    assert copied["answer copies the nearest"].loc[1] > 0.9, "with one example, it is copied"
    assert copied["answer copies the nearest"].loc[4] < copied["answer copies the nearest"].loc[1]
    assert gain.max() < 0.12, "the model should add little to its nearest example"

# %% [markdown]
# ## 3. Where the examples come from
#
# **Question.** NoiseAL takes its examples from the clean set R. What if they came from all training texts,
# of whose labels many are wrong? And what if somebody had checked all labels?
#
# **Experiment.** The same questions, with the nearest examples from three pools. (The true labels are there
# to see how far R is from perfect; no method may use them.) R is here what the threshold trusts and nothing
# else: `class_floor=0`.


# %%
def from_all_texts():
    everything = np.arange(len(texts))
    return collected(
        [*nearest_of(observed, everything, OBSERVED), *nearest_of(setup.clean["train"], everything, TRUE)]
    )


pools_run = setup.run("llm_pools", from_all_texts, **more)
pools_run

# %%
second = pools_run["answers"]
answers = pd.concat([first, second], ignore_index=True)
probability, shown = (np.concatenate([run[part], pools_run[part]]) for part in ("probability", "shown"))
# An endpoint that tells no probabilities counts as sure of what it answers.
answers["confidence"] = answers["confidence"].fillna(pd.Series(probability.max(1)))
labels = {CLEAN: noisy_label, OBSERVED: noisy_label, TRUE: label}
covered = np.isin(truth, noisy_label[run["clean_set"]])

rows = []
for way, own_label in labels.items():
    own = (answers["way"] == way).to_numpy()
    used = shown[own][shown[own] >= 0]
    right, in_clean = answers["right"][own], covered[answers["query"][own]]
    rows.append((
        way, (own_label[used] == label[used]).mean(), right.mean(), right[in_clean].mean(),
        right[~in_clean].mean(),
    ))  # fmt: skip
pools = pd.DataFrame(
    rows, columns=["pool", "labels shown that are right", "answers right", "topic in R", "topic not in R"]
).set_index("pool")
pools.round(2)

# %%
fig, ax = nk.plots.figure(width=9, height=3.8)
nearest_answers = answers[answers["way"].isin(labels)].groupby(["way", "k"], sort=False)["right"].mean()
alt = nk.plots.draw_shots(
    nearest_answers.rename("accuracy").reset_index(), ax, zero_shot=float(zero["right"].mean())
)
nk.plots.show(fig, alt)


# %%
def explore_demonstrations(pools_run):
    both = (run, pools_run)
    return nk.widgets.demonstration_explorer(
        pd.concat([r["answers"] for r in both], ignore_index=True),
        np.concatenate([r["probability"] for r in both]), np.concatenate([r["shown"] for r in both]),
        queries, texts, labels, truth, names, query=len(queries) // 2, k=4,
        prompt=(lambda text, shown: llm.prompts([text], names, [shown])[0])
        if hasattr(llm, "prompts") else None,
    )  # fmt: skip


nk.widgets.explore(pools_run, explore_demonstrations)

# %% tags=["finding"]
pools_told = {
    "labels shown that are right": say(
        f"**What we saw.** Of the labels shown, right are: {ranked(pools['labels shown that are right'])}."
    ),
    "answers right": say(
        f"Of the answers, {extremes(pools['answers right'])};"
        f" {compare(pools['answers right'], CLEAN, OBSERVED)}."
    ),
}
absent = [names[c] for c in np.unique(truth) if not covered[truth == c].any()]
say(
    *pools_told.values(),
    when(
        absent,
        f"R has no text labelled {listed(absent)}: about these topics {amount(pools.loc[CLEAN, 'topic not in R'])} of"
        f" the answers with R are right, and {amount(pools.loc[OBSERVED, 'topic not in R'])} of those with all texts; about the"
        f" others {amount(pools.loc[CLEAN, 'topic in R'])} and {amount(pools.loc[OBSERVED, 'topic in R'])}. That is one reason"
        " why NoiseAL, left to its defaults, keeps the most trusted texts of every label in R.",
        "R has texts of every topic asked about.",
    ),
)

# %% [markdown]
# **Why.** An annotator with examples can be no better than the pool lets it. Purity is one half of that,
# coverage the other. (NoiseAL asks about few texts, those of P, and they are mostly of large topics; there
# R may serve it well, see notebook 05. Macro F1 is where lost topics show.)
#
# In the explorer, look for a question that is answered rightly from all texts with true labels, and wrongly
# from R. Which label is missing?

# %% tags=["check"]
for column, sentence in pools_told.items():
    sentence.check(pools[column])
assert pools.loc[TRUE, "labels shown that are right"] == 1
assert np.allclose(probability.sum(1), 1, atol=0.01), "the probabilities of an answer sum to 1"
if pools_run.as_given and run.as_given:
    purity = pools["labels shown that are right"]
    assert purity[CLEAN] > 0.8, "R should show right labels"
    assert purity[OBSERVED] < 0.75, "all texts should show many wrong ones"
    assert not covered.all(), "R should lack a small topic"
    assert pools.loc[CLEAN, "topic in R"] > pools.loc[OBSERVED, "topic in R"] + 0.05
    assert pools.loc[CLEAN, "topic not in R"] == 0, "what R lacks cannot be answered"
    assert pools["answers right"].idxmax() == TRUE
    assert pools.loc[TRUE, "answers right"] > pools.loc[CLEAN, "answers right"] + 0.08

# %% [markdown]
# ## 4. Confidence, and leave to abstain
#
# **Question.** May we believe the model when it is sure?
#
# **Experiment.** Sort the answers by confidence, the surest first, and let the model **abstain** from all
# others. **Coverage** is the share of texts that still get an answer. If the confidence tells right from
# wrong, the accuracy of what is answered rises as coverage falls, from right to left.

# %%
three = {"zero-shot": (0, "zero-shot"), f"4 from: {CLEAN}": (4, CLEAN), f"4 from: {TRUE}": (4, TRUE)}
chosen = {
    name: ((answers["way"] == way) & (answers["k"] == k)).to_numpy() for name, (k, way) in three.items()
}
coverage = {
    name: nk.metrics.coverage_report(answers["confidence"][own], answers["right"][own])
    for name, own in chosen.items()
}
fig, ax = nk.plots.figure(width=9, height=4)
alt = nk.plots.draw_coverage(coverage, ax)
nk.plots.show(fig, alt)

# %% [markdown]
# The other question is **calibration**: is the model right as often as it says? Its mean confidence should
# equal its accuracy. The expected calibration error (**ECE**) is the mean gap between the two, over bins
# of confidence.

# %%
sureness = pd.DataFrame(
    {
        "right": [answers["right"][own].mean() for own in chosen.values()],
        "mean confidence": [answers["confidence"][own].mean() for own in chosen.values()],
        "ECE": [nk.metrics.ece(probability[own], truth[answers["query"][own]]) for own in chosen.values()],
        "right among the surer half": [
            c.loc[c["coverage"] >= 0.5, "accuracy"].iloc[0] for c in coverage.values()
        ],
    },
    index=list(chosen),
)
sureness.round(2)

# %% tags=["finding"]
surer, gap_of = sureness["right among the surer half"], sureness["mean confidence"] - sureness["right"]
told = say(
    f"**What we saw.** Among the surer half of the answers, {extremes(surer)} are right.".replace(
        " are right", ""
    )
)
ece_told = say(f"By ECE, {extremes(sureness['ECE'])}.")
say(
    told,
    *(
        f"With {name} the surer half is {gap(surer[name], sureness.loc[name, 'right'])} all answers, and the model is"
        f" {abs(100 * gap_of[name]):.0f} points {'surer than' if gap_of[name] > 0 else 'less sure than'} it is right."
        for name in sureness.index
    ),
    ece_told,
)

# %% [markdown]
# **Why a confidence can mislead.** It is the share of one label word among the words *offered*. It compares
# answers; it does not know that all of them may be wrong, and it cannot be unsure about a label that was not
# shown. So a threshold for abstention has to be set for one way of asking and one pool, on texts whose labels
# are known. `LocalLLM(abstain_below=…)` applies it; an abstention is −1, and NoiseAL treats the text as hard.

# %% tags=["check"]
told.check(surer)
ece_told.check(sureness["ECE"])
for curve in coverage.values():
    assert curve["coverage"].is_monotonic_increasing
    assert np.isclose(curve["coverage"].iloc[-1], 1), "every answer has a confidence"
assert sureness["ECE"].between(0, 1).all()
if pools_run.as_given and run.as_given:
    zero_name, clean_name, true_name = chosen
    assert surer[true_name] > sureness.loc[true_name, "right"] + 0.03, "abstention should pay"
    assert surer[true_name] > 0.9
    assert surer[zero_name] < 0.5, "in zero-shot it should not"
    assert gap_of[zero_name] > 0.3, "zero-shot should be far too sure"
    assert gap_of[clean_name] > 0.1, "examples that lack topics should make it too sure"
    assert sureness.loc[true_name, "ECE"] < sureness["ECE"].drop(true_name).min()

# %% [markdown]
# ## 5. What a question costs
#
# A question costs what the model reads: the prompt's tokens. Demonstrations are most of it, and they are
# paid again with every question (shared ones are read once, if they come first). Nothing is written here,
# so there are no output tokens to pay; a chat model behind an API writes a few.

# %%
price = 0.50  # for a million tokens read: a made-up price, to calculate with
tokens = answers[answers["way"].isin(["zero-shot", CLEAN])].groupby("k")["tokens"].mean()
cost = pd.DataFrame(
    {
        "tokens a question": tokens,
        f"all {len(texts):,} texts": tokens * len(texts) * price / 1e6,
        f"{llm_budget} questions": tokens * llm_budget * price / 1e6,
        "a million texts": tokens * price,
    }
).rename_axis("demonstrations")
cost.round(4)

# %% [markdown]
# (Zero-shot has a long prompt because it lists all labels with a description; demonstrations show them by
# themselves.) On your own machine the price is time:

# %% tags=["machine"]
fresh = setup.make_annotator(max_text_tokens=text_tokens, store=":memory:")
fresh.annotate(queries[:1], names)  # loads the model
began = time.perf_counter()
timed = fresh.annotate(queries[:8], names, retrieve(queries[:8], observed, 4, encoder=encoder)[0])
seconds = time.perf_counter() - began
read = timed["prompt_tokens"].sum()
print(f"{seconds / len(timed):.2f} s a question, {read / seconds:.0f} tokens a second")

# %% [markdown]
# Nothing is asked twice: answers are kept in a file by their prompt, with the model and the label words
# (`nlkit.annotate.store`). A crash, a second run or another threshold for abstention costs nothing.
#
# An API takes money, so it has a **plan**, which asks nothing and tells what a call would cost, and a **budget**: a
# purse that many workers, all rounds of NoiseAL and `nk.label_with_llm` pay from. What a question may cost is
# reserved before it is sent and settled after, so the purse is never overdrawn. Texts that it does not reach
# come back as failed, with the reason, and the same call with a new purse asks only these.

# %%
examples_shown = [nk.annotators.Demonstration(texts[i], int(noisy_label[i])) for i in run["clean_set"][:4]]
purse = nk.annotators.Budget(questions=llm_budget, money=0.01)
chat = llm
if not hasattr(llm, "plan"):  # a model on this machine has no price: this one is not asked
    chat = nk.annotators.OpenAIChat("gpt-4o-mini", "https://api.openai.com/v1", budget=purse, store=None)
plan = chat.plan(queries, names, examples_shown)
print(f"{chat.name}\n{plan}\n\n{purse}")

# %% tags=["check"]
assert np.isclose(cost["a million texts"], cost[f"all {len(texts):,} texts"] * 1e6 / len(texts)).all()
if run.as_given:
    assert tokens.loc[4] > 1.8 * tokens.loc[1], "each example adds its tokens"
    assert tokens.loc[0] > tokens.loc[1], "listed labels are long"
assert plan.texts == len(queries) == plan.known + plan.calls
assert purse.spent.questions == 0, "a plan asks nothing"

# %% [markdown]
# ## 6. When does a larger budget pay?
#
# **Question.** NoiseAL may ask `query_budget` questions about its purified texts. What do they buy?
#
# **Experiment.** Noise that is hard for the two models: by default *asymmetric*, each topic mistaken for one
# certain other. NoiseAL runs with no questions, with a budget for SmolLM2, and with an annotator that is
# **simulated**: it knows the truth and is always right, so it shows the most that any annotator could give.
# All questions are asked in one round after the warm-up, by two **acquisition rules**: texts on which the
# models contradict the label most confidently, or texts on which they are most uncertain.

# %%
RULES = ("confident_disagreement", "uncertain")
PERFECT = "always right (simulated)"


def spend():
    ds = nk.add_noise(setup.clean, kind=budget_noise, rate=noise_rate, seed=seed)
    seen = np.array(ds["train"]["noisy_label"][:])
    perfect = nk.annotators.Simulated(accuracy=1.0, reference=nk.course.reference(setup.clean), seed=seed)
    asked = {"nobody": None, llm.name: llm, PERFECT: perfect}

    def bought(who, rule, budget):
        noiseal = nk.NoiseAL(
            annotator=asked[who], query_budget=budget, query_rounds=1, acquisition=rule or RULES[0],
            trust="full", **setup.shared,
        ).fit(ds)  # fmt: skip
        table, found = noiseal.annotations_, noiseal.evaluate(ds["test"])
        score = (who, rule, len(table), found["accuracy"], found["macro_f1"])
        if who != llm.name:
            return score, []
        index, before = table["index"].to_numpy(), noiseal.config.warmup_epochs - 1
        mean = noiseal.dynamics_["strong"][before] + noiseal.dynamics_["weak"][before]
        own = zip(index, seen[index], mean[index].argmax(1), table["label"], strict=True)
        return score, [(rule, *row) for row in own]

    plans = [("nobody", "", 0)] + [(llm.name, rule, llm_budget) for rule in RULES]
    plans += [(PERFECT, RULES[1], llm_budget)] + [(PERFECT, rule, 4 * llm_budget) for rule in RULES]
    scores, questions = zip(*nk.resuming.each(plans, bought), strict=True)
    told = ["annotator", "rule", "questions", "test accuracy", "macro F1"]
    columns = ["rule", "index", "observed", "guess", "answer"]
    every = pd.DataFrame([row for rows in questions for row in rows], columns=columns)
    return {
        "scores": pd.DataFrame(scores, columns=told),
        "questions": every.astype(dict.fromkeys(columns[1:], int)),
    }


budget_run = setup.run(
    "llm_budget", spend, text_tokens=text_tokens, budget_noise=budget_noise, llm_budget=llm_budget
)
budget_run

# %%
scores = budget_run["scores"]
scores.round(3)

# %%
if len(budget_run["questions"]):
    shown_budget = nk.widgets.explore(
        budget_run, lambda run: nk.widgets.budget_explorer(run["questions"], label, texts, names)
    )
else:
    shown_budget = "Nobody was asked: no text was purified, or the budget is 0."
shown_budget

# %% tags=["finding"]
scores["run"] = [
    f"{row.annotator}, {row.rule.replace('_', ' ') or 'no rule'}, {row.questions} questions"
    for row in scores.itertuples()
]
by_run = scores.drop_duplicates("run").set_index("run")
nobody_at = by_run.index[0]
bought_best, perfect_best = (
    rows["test accuracy"].idxmax()
    for rows in (by_run[by_run["annotator"] == llm.name], by_run[by_run["annotator"] == PERFECT])
)
told = {
    column: say(
        f"{words} {compare(by_run[column], perfect_best, nobody_at)}; {compare(by_run[column], bought_best, nobody_at)}."
    )
    for column, words in (("test accuracy", "**What we saw.** In accuracy,"), ("macro F1", "In macro F1,"))
}
asked_by_rule = budget_run["questions"]["rule"].value_counts()
per_rule = {
    rule: nk.widgets.compute_budget(budget_run["questions"], label, rule, int(min(llm_budget, n))).counts
    for rule, n in asked_by_rule.items()
}
say(
    *told.values(),
    *(
        f"By the rule {rule.replace('_', ' ')}, {annotator}'s answers are right where the label was wrong in {c['mended']} cases, the"
        f" models' own guess in {c['guessed']}; {c['spoilt']} right labels are spoilt."
        for rule, c in per_rule.items()
    ),
)

# %% [markdown]
# **What an answer is worth** is what it adds to the models' own guess. A model that repeats its nearest examples,
# which come from R, adds little: what the models have got wrong, R has got wrong as well. Uncertain texts teach
# most *if* the answers are right; that is where a weak annotator fails most. So: judge an annotator on the
# texts that will be asked, not on average ones, and against the guess that is there for free.
#
# (One run, one seed: differences of a point or two mean nothing. With symmetric noise the models' own guess is
# nearly always right and even a perfect annotator has little to add: exercise for a rainy day.)

# %% tags=["check"]
for column, sentence in told.items():
    sentence.check(by_run[column])
assert scores["questions"].max() <= 4 * llm_budget, "the budget should hold"
assert scores[["test accuracy", "macro F1"]].apply(lambda s: s.between(0, 1)).all(axis=None)
if budget_run.as_given:
    nobody = scores[scores["annotator"] == "nobody"].iloc[0]
    best = scores[(scores["annotator"] == PERFECT) & (scores["rule"] == RULES[1])].iloc[-1]
    bought = scores[scores["annotator"] == llm.name]
    assert best["test accuracy"] > nobody["test accuracy"] + 0.03, "right answers should be worth something"
    assert best["macro F1"] > nobody["macro F1"] + 0.05
    # A point: what a processor with fast bf16 changes in a run is less.
    assert (bought["test accuracy"] < best["test accuracy"] - 0.01).all(), "SmolLM2's are worth less"
    for rule in RULES:
        counts = nk.widgets.compute_budget(budget_run["questions"], label, rule, llm_budget).counts
        assert counts["mended"] <= counts["guessed"] + 5, "not better than the models' own guess"
        assert counts["spoilt"] > 0, "right labels are spoilt too"

# %% [markdown]
# ## 7. Whom to believe, and whom to ask again
#
# **Question.** What an annotator is worth was seen here with true labels, which a user does not have. How far
# should NoiseAL believe one that nobody has seen answering? And if a good annotator is dear: must it be asked about
# every text?
#
# **Measured trust.** By `trust="full"`, as published, every answer is learnt. With `trust="measured"` an eighth of
# the questions goes to texts of R, whose labels both models trust: **probes**. How often the annotator agrees there
# is what it is believed elsewhere: `annotator_trust_` has the estimate with its interval, `annotations_["sure"]`
# how probable it is that an answer is right, given that and what the models think. An answer that is not the
# likeliest label is not learnt.
#
# **Escalation.** `nk.annotators.Escalate(cheap, dear)` asks the cheap annotator about every text, and the dear one
# where the cheap one abstains or contradicts the models' guess.
#
# **Experiment.** The noise of section 6 and four times the questions, in one round, for SmolLM2, two simulated
# annotators, a poor and a good one, and SmolLM2 with the good one behind it.

# %%
POOR, GOOD = "right in 30 % (simulated)", "right in 90 % (simulated)"
BOTH, TRUSTS = f"{llm.name}, then {GOOD}", ("full", "measured")


def trusted():
    ds = nk.add_noise(setup.clean, kind=budget_noise, rate=noise_rate, seed=seed)
    known = nk.course.reference(setup.clean)
    poor, good = (nk.annotators.Simulated(accuracy=a, reference=known, seed=seed) for a in (0.3, 0.9))
    who_is = {llm.name: llm, POOR: poor, GOOD: good, BOTH: nk.annotators.Escalate(llm, good)}

    def judged(who, trust):
        noiseal = nk.NoiseAL(
            annotator=who_is[who], query_budget=4 * llm_budget, query_rounds=1, trust=trust, **setup.shared
        ).fit(ds)
        table = noiseal.annotations_.reindex(columns=["index", "label", "learnt", "sure", "by"])
        given = table[table["label"] >= 0]
        right = given["label"] == label[given["index"].to_numpy(int)]
        learnt = given["learnt"].astype(bool)
        estimate = noiseal.annotator_trust_.reindex(columns=["probes", "agreed", "accuracy", "low", "high"])
        return {
            "annotator": who, "trust": trust, "questions": len(table),
            "to the good one": int((table["by"] == good.name).sum() if who == BOTH else (who == GOOD) * len(table)),
            "answers right": right.mean(), "learnt": learnt.mean(), "learnt right": right[learnt].mean(),
            "sure": given["sure"].mean(), "test accuracy": noiseal.evaluate(ds["test"])["accuracy"],
        } | estimate.astype(float).reindex([0]).iloc[0].to_dict()  # fmt: skip

    plans = [(who, trust) for who in (llm.name, POOR, GOOD) for trust in TRUSTS] + [(BOTH, TRUSTS[0])]
    return {"scores": pd.DataFrame(nk.resuming.each(plans, judged))}


trust_run = setup.run(
    "llm_trust", trusted, text_tokens=text_tokens, budget_noise=budget_noise, llm_budget=llm_budget
)
trust_run

# %%
believed = trust_run["scores"]
believed.set_index(["annotator", "trust"]).drop(columns="accuracy").round(2)

# %% tags=["finding"]
believed["run"] = believed["annotator"] + ", " + believed["trust"]
of = believed.set_index("run")
measured_rows = of[(of["trust"] == "measured") & (of["probes"] > 0)]
full, measured = (of[of["trust"] == trust].set_index("annotator") for trust in TRUSTS)
told_trust = {
    "test accuracy": say(
        *(
            f"{compare(of['test accuracy'], f'{who}, measured', f'{who}, full')}."
            for who in (POOR, llm.name, GOOD)
        )
    ),
    "answers right": say(
        f"{compare(of['answers right'], f'{BOTH}, full', f'{GOOD}, full')};"
        f" {compare(of['answers right'], f'{BOTH}, full', f'{llm.name}, full')}."
    ),
}
say(
    "**What we saw.** By its probes, how often an annotator is right, and how often it was:",
    *(
        f"- {row.annotator}: {row.agreed:.0f} of {row.probes:.0f} probes agree, so {100 * row.low:.0f} to"
        f" {100 * row.high:.0f} %; {100 * right:.1f} % were,"
        f" {'inside' if row.low <= right <= row.high else 'outside'} that interval."
        for row, right in zip(measured_rows.itertuples(), measured_rows["answers right"], strict=True)
    ),
    f"- With measured trust {amount(measured.loc[POOR, 'learnt'])} of the poor one's answers are learnt, and of these"
    f" {amount(measured.loc[POOR, 'learnt right'])} are right; of the good one's {amount(measured.loc[GOOD, 'learnt'])},"
    f" and of these {amount(measured.loc[GOOD, 'learnt right'])}.",
    f"- In test accuracy {told_trust['test accuracy']} Nobody asked, in section 6:"
    f" {amount(by_run.loc[nobody_at, 'test accuracy'])}.",
    f"- Escalation: the good one got {full.loc[BOTH, 'to the good one']} of {full.loc[BOTH, 'questions']} questions."
    f" Of answers that are right: {told_trust['answers right']}",
    when(
        full.loc[BOTH, "answers right"] > full.loc[GOOD, "answers right"] - 0.02,
        "So the cheap one saved the other questions, and hardly an answer was lost.",
        "So what the cheap one and the models agree on is wrong too often to save the questions.",
    ),
)

# %% [markdown]
# **What measured trust changes.** It is an insurance: most of what an annotator says that knows little is not learnt.
# The premium is the probes, and good answers that are not believed. Look at how the estimate can miss: a probe is a
# text of R, so an easy one, with its examples at hand, and an annotator that copies them looks better there than on
# the texts that are asked; and labels in R may be wrong too, so that a good annotator looks worse. An interval from
# a dozen probes is wide. `trust="measured"` is the default, since nobody has seen yours answering about your texts;
# `trust="full"` is for an annotator that is known to be good.
#
# **When escalation pays.** Where two opinions that err apart, the models' and the cheap annotator's, seldom agree on
# a wrong label; and where the dear one costs so much more that most of its questions are worth saving. It
# cannot mend what both get wrong alike. (One run, one seed, as above.)
#
# Where an annotator tells how probable its labels are, there is a middle way: with `candidates=2` NoiseAL learns an
# answer that is less than 90 % sure together with its second label, by their probabilities.

# %% tags=["check"]
for column, sentence in told_trust.items():
    sentence.check(of[column])
assert believed["questions"].max() <= 4 * llm_budget, "the budget should hold"
assert (believed["to the good one"] <= believed["questions"]).all()
assert full["learnt"].dropna().eq(1).all(), "trusted fully, every answer is learnt"
if trust_run.as_given:
    assert measured.loc[POOR, "learnt"] < measured.loc[GOOD, "learnt"] - 0.1, "the poor one is found out"
    assert measured.loc[POOR, "high"] < 0.7
    assert measured.loc[GOOD, "learnt right"] > full.loc[GOOD, "answers right"]
    assert full.loc[BOTH, "to the good one"] < 0.6 * full.loc[BOTH, "questions"], "many questions are saved"
    assert full.loc[BOTH, "answers right"] > full.loc[llm.name, "answers right"] + 0.1

# %% tags=["result"]
result = answers.assign(asked=answers["way"] + ", " + answers["k"].astype(str)).groupby("asked", sort=False)
result = result[["right", "confidence"]].mean().reset_index().rename(columns={"right": "answers right"})
setup.write(
    result=result,
    accuracy=nearest_answers.rename("accuracy").reset_index(),
    pools=pools.reset_index(),
    scores=scores,
    trust=believed,
)
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - Zero-shot, a small language model follows habits. Look at *which* labels it gives, on every topic.
# - Near examples make it useful; compare it with the label of the nearest example, which is free.
# - A pool of examples needs purity and coverage. What it lacks cannot be answered, and the model will be
#   sure of itself all the same.
# - A confidence ranks answers for one way of asking; it is not a probability of being right until checked.
# - A question pays if the answer is better than the guess that is already there.
# - Whom nobody has seen answering is measured first; a dear annotator need not be asked where a cheap one and the
#   models agree.
#
# ## Exercises
#
# Each is checked at once. `nk.check.llm_annotator.q1.hint()` gives a hint to the first, and a further one
# when it is called again.
#
# **1.** You want 50,000 texts labelled with demonstrations, 160 tokens a question. A (made-up) API takes
# 0.25 for a million tokens. What does it cost?

# %% tags=["solution"]
answer_1 = 50_000 * 160 / 1_000_000 * 0.25
# stub:
# answer_1 = None  # a number
nk.check.llm_annotator.q1(answer_1)

# %% [markdown]
# **2.** The threshold for abstention rises, and the confidence does tell right from wrong. What happens to
# coverage, and what to the accuracy of the answers given: is each `"smaller"`, the `"same"` or `"larger"`?

# %% tags=["solution"]
curve = nk.metrics.coverage_report([0.9, 0.8, 0.7, 0.6], [True, True, False, True])
strict, lenient = curve.iloc[1], curve.iloc[-1]
assert strict["threshold"] > lenient["threshold"]
assert strict["coverage"] < lenient["coverage"]
assert strict["accuracy"] > lenient["accuracy"]
answer_2 = ("smaller", "larger")
# stub:
# answer_2 = (None, None)  # two words: coverage, accuracy
nk.check.llm_annotator.q2(answer_2)

# %% [markdown]
# **3.** An annotator answers 60 % of the questions, and 90 % of these answers are right. Where it abstains,
# the models' own guess is taken, which is right in 70 %. What share of the labels is right in the end?

# %% tags=["solution"]
answer_3 = 0.6 * 0.9 + 0.4 * 0.7
# stub:
# answer_3 = None  # a number
nk.check.llm_annotator.q3(answer_3)

# %% [markdown]
# **4.** A model always copies the label of its one example. The nearest text is of the same topic in 90 % of
# the cases, and 40 % of the pool's labels are wrong, whatever the topic. How often is the answer right?
# (Leave aside that two mistakes can cancel out.)

# %% tags=["solution"]
answer_4 = 0.9 * (1 - 0.4)
# stub:
# answer_4 = None  # a number
nk.check.llm_annotator.q4(answer_4)

# %% [markdown]
# **5.** Write it: choose demonstrations. Given a text's vector (D numbers) and a pool's vectors (P rows),
# return the row numbers of the k that are most similar by the cosine, the nearest last.


# %% tags=["solution"]
def nearest(vector, pool, k):
    cosine = pool @ vector / np.linalg.norm(pool, axis=1)
    return np.argsort(cosine)[-k:]


# stub:
# def nearest(vector, pool, k):
#     """Return k row numbers of the pool."""
#     return None  # your code


nk.check.llm_annotator.q5(nearest)

# %% tags=["score"]
nk.check.llm_annotator.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Time**: 15 minutes to talk through, 20 with the explorers, 10 for the exercises. Recorded runs start at
# once; the button below an explorer's label computes them anew.
#
# **Misconceptions**: *"The model understood the task from four examples."* Show the column "answer copies
# the nearest". *"It is 95 % sure, so it is right 95 times in 100."* Show zero-shot's row in section 4.
# *"More questions are always better."* Show the row of SmolLM2 beside the simulated one.
#
# **Ask the class**: you have money for 100 questions to a good annotator. Would you rather ask about texts
# where your model is sure that the label is wrong, or where it has no idea? What if the annotator is poor?
#
# ## Next
#
# - `05_noiseal` puts questions, sets and losses together; `06_llm_noise` lets the model label everything.
# - Here: `annotator = "simulated"` to see the tables of an annotator that ignores examples;
#   `budget_noise = "symmetric"`; `text_tokens = 48`, which costs twice as much; or a model of yours behind an API.
# - Read `nlkit/annotate/scoring.py`: how labels are scored with nothing read twice.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | the LLM as active annotator (NoiseAL, arXiv 2504.02901) | `nlkit.annotate.LocalLLM` |
# | nearest demonstrations (NoiseAL; Liu et al. 2022, arXiv 2101.06804) | `nlkit.annotate.examples.retrieve` |
# | likelihood of label words (Brown et al. 2020, arXiv 2005.14165) | `nlkit.annotate.scoring` |
# | bias of prompts (Zhao et al. 2021, arXiv 2102.09690) | `LocalLLM(calibration=…)` |
# | selective classification (El-Yaniv and Wiener, JMLR 2010) | `nk.metrics.coverage_report` |
# | who is asked first (NoiseAL) | `nlkit.methods.noiseal.rectification.acquisition_order` |
# | how far an annotator is believed (ours, after Dawid and Skene 1979) | `nlkit.annotate.Trust` |
#
# </details>
