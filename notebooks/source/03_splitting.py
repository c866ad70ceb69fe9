# %% [markdown]
# # Splitting: which labels to keep, without knowing one
#
# Two models that are watched while they learn sort the labels into clean, hard and suspicious, and nobody tells them one true label.
#
# **Afterwards you can**
#
# - split training data by NoiseAL's dynamic-enhanced threshold, and say what momentum, margin and warm-up do;
# - say what a second model gains, and what it costs;
# - hold the split against a mixture fitted to the losses, and against cleanlab.
#
# **You need** notebooks 00 and 01; 02 helps.

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 600
test_size = 400
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
epochs = 12
warmup_epochs = 3
momentum = 0.7
margin = 0.1
recorded = True
results = ""

# %% [markdown]
# `epochs` is how long both models are trained; `warmup_epochs`, `momentum` and `margin` are settings of the
# split and train nothing anew: the defaults are those of NoiseAL's profile `quick`.

# %%
import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.course.saying import amount, compare, extremes, ranked, say, when

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="dynamics",
)  # fmt: skip
texts, names = setup.texts, setup.names
if not 1 <= warmup_epochs <= epochs:
    raise ValueError(f"warmup_epochs={warmup_epochs} is not allowed: from 1 to epochs={epochs}")

setup

# %% [markdown]
# **Try it.** Each dot is a label: across, what the strong model gives it; up, the weak one. Move the momentum, the
# margin and the warm-up: which labels are kept, which are suspected?

# %%
run = setup.train_both(epochs)
nk.widgets.explore(
    run,
    lambda run: nk.widgets.threshold_explorer(
        run["strong"], run["weak"], run["noisy_label"], run["label"], texts, label_names=names,
        momentum=momentum, margin=margin, epoch=warmup_epochs, warmup=True, examples=2,
    ),
)  # fmt: skip

# %% [markdown]
# ## 1. Two models, one warm-up
#
# **Question.** Many labels are wrong. Which ones? Nobody tells.
#
# **Experiment.** A strong model (MiniLM with a head) and a weak one (a small BiLSTM that starts from nothing)
# learn the noisy labels with plain cross-entropy, side by side. After each epoch both predict all training
# texts, and that is recorded: their **training dynamics**. NoiseAL trains like this during its warm-up of
# W epochs and then makes its first split. Here the warm-up goes on to the end, so that we can see what any
# W would have given. It is the same run as in notebook 02; cleanlab's opinion, for section 5, is taken too.

# %%
run

# %% [markdown]
# ## 2. The rule
#
# For each sample and each model there are two numbers after an epoch: the **trust** in the label,
# $p(\tilde y \mid x)$ (`trust_strong`, `trust_weak`), and the sample's own **threshold** $\tau$. It starts at
# $1/C$, the trust of a model that knows nothing, and then follows the model's confidence, whatever class it is
# confident of:
#
# $$\tau \leftarrow m\, \tau + (1 - m) \max_c p_c$$
#
# with $m$ = `momentum`. A model trusts the label if it gives it more than $\tau$. Then:
#
# - both trust it: **R**, clean;
# - neither trusts it, and the mean of both models is sure of something, by more than the mean threshold
#   plus the margin $\sigma$ (`margin`): **P**, purified. The label is probably wrong; later the language model is asked;
# - all others: **H**, hard.
#
# Three samples, epoch by epoch; the letters above are the sets they fall in. Titles tell the truth, which the
# rule does not know.

# %%
strong, weak = run["strong"], run["weak"]
noisy_label, label = run["noisy_label"], run["label"]
splits = nk.widgets.compute_partitions(strong, weak, noisy_label, momentum, margin)
sets = np.array([split.set for split in splits])  # (E, N)
right = noisy_label == label

at_warmup = sets[warmup_epochs - 1]
picks = {
    "right label": np.flatnonzero(right & (at_warmup == "R")),
    "wrong label, found": np.flatnonzero(~right & (at_warmup == "P")),
    "wrong label, missed": np.flatnonzero(~right & (at_warmup == "R")),
}
shown = {what: int(found[0]) for what, found in picks.items() if len(found)} or {"a sample": 0}

fig, axes = nk.plots.figure(1, len(shown), width=4.0 * len(shown) + 2, height=3.4)
alt = ""
for number, (ax, (what, i)) in enumerate(zip(np.atleast_1d(axes), shown.items(), strict=True)):
    paths = [split.table().iloc[[i]].assign(epoch=epoch) for epoch, split in enumerate(splits, start=1)]
    alt += nk.plots.draw_threshold_path(
        pd.concat(paths), ax, title=what, legend=number == len(shown) - 1
    ) + " "  # fmt: skip
nk.plots.show(fig, alt)

# %% tags=["finding"]
wrong_trust = {
    e: splits[e - 1].trust_weak[~right].mean() if (~right).any() else np.nan for e in range(1, epochs + 1)
}
found = shown.get("wrong label, found")
told = say(
    "**What we saw.** The threshold (dotted) runs after the model. A trust above it keeps a label.",
    when(
        found is not None and (sets[warmup_epochs:, found] != "R").all(),
        "Where both models are soon sure of another class, the threshold rises and the trust stays on the ground.",
    ),
    f"Over all wrong labels the weak model's trust is {wrong_trust[warmup_epochs]:.2f} on average after epoch {warmup_epochs}",
    f"and {wrong_trust[epochs]:.2f} after epoch {epochs}:",
    when(
        wrong_trust[epochs] > wrong_trust[warmup_epochs] + 0.05,
        "they are being learnt by heart.",
        "they are not learnt by heart in this time.",
    ),
)
told

# %% tags=["check"]
assert sets.shape == (epochs, len(texts))
assert np.isin(sets, list("RHP")).all(), "every sample is in exactly one set"
first = nk.partition.partition_samples(
    strong[0],
    weak[0],
    noisy_label,
    *[np.full(len(texts), 1 / len(names))] * 2,
    margin=margin,
    cap=0.99,
)
assert (first.set == sets[0]).all(), "all thresholds start at 1/C"
if run.as_given:
    assert wrong_trust[epochs] > wrong_trust[warmup_epochs] + 0.2, "wrong labels are learnt by heart"

# %% [markdown]
# ## 3. The threshold explorer
#
# Back to the explorer at the top. Move the controls; nothing is trained, the recorded predictions are split
# again.
#
# - **Momentum m**: with a large one the threshold stays low for long. R grows, and what of it is wrong grows
#   as well.
# - **Margin σ**: how sure the models have to be of something else. It moves samples between P and H only.
# - **Warm-up W**: how many epochs the models have learnt before the split is made. Try 1, 3 and the last.

# %%
quality = nk.widgets.compute_quality(splits, noisy_label, label)
fig, ax = nk.plots.figure(width=8, height=4)
alt = nk.plots.draw_set_quality(quality, ax, mark=warmup_epochs)
nk.plots.show(fig, alt)

# %% tags=["finding"]
rows = quality.set_index(["set", "epoch"])
precision = {s: rows.loc[s]["precision"] for s in "RP"}
here = {s: precision[s][warmup_epochs] for s in "RP"}
sizes = {e: rows.loc["P", e]["size"] for e in (warmup_epochs, epochs)}
told = say(
    f"**What we saw.** After the warm-up (the line, epoch {warmup_epochs}) R holds {amount(rows.loc['R', warmup_epochs]['recall'])}"
    " of the right labels,",
    f"and {amount(here['R'])} of its labels are right; of P's, {amount(here['P'])} are wrong, as they should be.",
    f"R is cleanest after epoch {precision['R'].fillna(0).idxmax()} ({amount(precision['R'].max())}) and ends at",
    f"{amount(precision['R'][epochs])}; P goes from {sizes[warmup_epochs]:.0f} texts to {sizes[epochs]:.0f}.",
    when(
        precision["R"][epochs] < here["R"] - 0.02,
        "The models memorise: wrong labels come to be trusted, and get into R.",
        "Training on does not spoil R in these epochs.",
    ),
)
told

# %% [markdown]
# **Why there is a window.** The split reads the models, and the models learn the labels they are given. It
# has to be made while right labels are learnt and wrong ones are not, and from then on training has to go on
# with the *sets* and not with the labels. This is what NoiseAL's warm-up is for, and why it is short.

# %% tags=["check"]
table = quality.pivot_table("size", "epoch", "set", sort=False)
assert (table.sum(axis=1) == len(label)).all()
for name, rule in (("R", right), ("P", ~right)):
    inside = sets[warmup_epochs - 1] == name
    assert not inside.any() or amount(rule[inside].mean()) in told, "counted again, the sentence holds"
for other in (0.0, 0.9):
    again = nk.widgets.compute_partitions(strong, weak, noisy_label, momentum, other)
    assert all((a.set == "R").sum() == (b.set == "R").sum() for a, b in zip(again, splits, strict=True)), (
        "the margin does not touch R"
    )
if run.as_given:
    assert rows.loc[("R", warmup_epochs), "precision"] > 0.93
    assert rows.loc[("R", warmup_epochs), "recall"] > 0.7
    assert rows.loc[("P", warmup_epochs), "precision"] > 0.9
    assert rows.loc[("R", epochs), "precision"] < rows.loc[("R", warmup_epochs), "precision"] - 0.1
    assert rows.loc[("P", epochs), "size"] < 0.3 * rows.loc[("P", warmup_epochs), "size"]
    patient, hasty = (
        (nk.widgets.compute_partitions(strong, weak, noisy_label, m, margin)[-1].set == "R").sum()
        for m in (0.95, 0.3)
    )
    assert patient > hasty, "a large momentum keeps the threshold low, and R large"

# %% [markdown]
# ## 4. Why two models?
#
# **Question.** The strong model has read far more than the weak one. What is the weak one for?
#
# **Experiment.** The same threshold with one model only: a label is kept if *this* model trusts it. R of both
# models is then exactly the intersection of the two.

# %%
compared = nk.cleaning.compare_finders(
    strong, weak, noisy_label, label, issues=run["issues"], momentum=momentum, margin=margin, seed=seed
)
after_warmup = compared[compared["epoch"] == warmup_epochs].set_index("finder")
after_warmup.rename(nk.cleaning.FINDERS).drop(columns="epoch").round(2)

# %%
fig, axes = nk.plots.figure(1, 2, width=12.5, height=3.8)
chosen = {key: nk.cleaning.FINDERS[key] for key in ("both", "strong", "weak")}
alt = nk.plots.draw_finders(
    compared, "precision", axes[0], names=chosen, mark=warmup_epochs, legend=False
)  # fmt: skip
alt += " " + nk.plots.draw_finders(compared, "recall", axes[1], names=chosen, mark=warmup_epochs)
nk.plots.show(fig, alt)

# %% tags=["finding"]
at = after_warmup.rename(nk.cleaning.FINDERS)
both, alone_strong = nk.cleaning.FINDERS["both"], nk.cleaning.FINDERS["strong"]
precision_told = say(
    f"**What we saw** after the warm-up. Of the labels kept, this part is right: {compare(at['precision'], both, alone_strong)}.",
)
recall_told = say(f"Of the right labels, this part is kept: {compare(at['recall'], both, alone_strong)}.")
f1_told = say(
    f"By F1, which weighs both alike: {compare(at['f1'], both, alone_strong)}.",
    when(
        at.loc[both, "f1"] < at.loc[alone_strong, "f1"] - 0.005,
        "Be honest about that: here the weak model's opinion costs more recall than it gains precision."
        if at.loc[both, "precision"] > at.loc[alone_strong, "precision"]
        else "Be honest about that: here the weak model's opinion costs recall and gains no precision.",
        "Here the second model costs nothing by that measure.",
    ),
)
say(precision_told, recall_told, f1_told)

# %% [markdown]
# **Why NoiseAL wants two models all the same.** R is what everything else is built on: it is learnt as it is,
# and the language model's examples are taken from it. There a wrong label does more harm than a missing one;
# what is missing is not lost, it is in H and is learnt softly. And two different models make different
# mistakes: where both contradict a label, a question to the language model is well spent.

# %% tags=["check"]
precision_told.check(at["precision"])
recall_told.check(at["recall"])
f1_told.check(at["f1"])
by = compared.set_index(["finder", "epoch"])
recall = by["recall"].unstack("finder")  # noqa: PD010
assert (recall["both"] <= recall[["strong", "weak"]].min(axis=1) + 1e-9).all(), "an intersection is smaller"
alone = {
    key: np.array([s.set == "R" for s in nk.widgets.compute_partitions(p, p, noisy_label, momentum, margin)])
    for key, p in (("strong", strong), ("weak", weak))
}
assert ((sets == "R") == (alone["strong"] & alone["weak"])).all(), "R of both is the intersection"
if run.as_given:
    at = after_warmup
    assert at.loc["both", "precision"] > at.loc["strong", "precision"] - 0.01
    assert at.loc["both", "recall"] < at.loc["strong", "recall"] - 0.02, "the price of the second model"
    assert at.loc["strong", "f1"] > at.loc["both", "f1"] - 0.02, "alone it should not be worse by F1"

# %% [markdown]
# ## 5. Beside other ways
#
# **Question.** Is a threshold that moves worth the trouble?
#
# **Experiment.** Two things that anybody would try first:
#
# - **a mixture of the losses**: fit two normal distributions to the strong model's losses, keep the samples
#   of the lower one (DivideMix does this each epoch);
# - **cleanlab**: logistic regression on the frozen encoder's embeddings judges each text after training on
#   the *other* folds, and confident learning counts from it which labels are issues. It has no epochs: its
#   line is flat.

# %%
fig, axes = nk.plots.figure(1, 2, width=12.5, height=3.8)
chosen = {key: nk.cleaning.FINDERS[key] for key in ("both", "mixture", "cleanlab")}
alt = nk.plots.draw_finders(
    compared, "precision", axes[0], names=chosen, mark=warmup_epochs, legend=False
)  # fmt: skip
alt += " " + nk.plots.draw_finders(compared, "recall", axes[1], names=chosen, mark=warmup_epochs)
nk.plots.show(fig, alt)

# %% tags=["finding"]
three = after_warmup.loc[["both", "mixture", "cleanlab"]].rename(nk.cleaning.FINDERS)
late = (
    compared[compared["epoch"] == epochs]
    .set_index("finder")
    .loc[three.index.map(dict(zip(nk.cleaning.FINDERS.values(), nk.cleaning.FINDERS, strict=True)))]
    .rename(nk.cleaning.FINDERS)
)
told = {
    "precision": say(
        f"**What we saw** after the warm-up. Of the labels kept, right are: {extremes(three['precision'])}."
    ),
    "recall": say(f"Of the right labels, kept are: {extremes(three['recall'])}."),
    "f1": say(f"By F1, {extremes(three['f1'])}."),
    "late": say(
        f"After the last epoch, right are: {ranked(late['precision'])}. cleanlab's line is flat: who judges a text"
        " without having learnt its label cannot have learnt that label by heart."
    ),
}
say(*told.values())

# %% tags=["finding"]
say(
    when(
        three["f1"].idxmax() == nk.cleaning.FINDERS["both"],
        "**And beyond F1?** The threshold has the best F1 here; that is not its point.",
        "**Why bother, then?** The threshold does not have the best F1 here, and we do not claim it.",
    ),
    "What it has is a *third* answer: H, not sure. Mixture and cleanlab say right or wrong. NoiseAL treats the three",
    "sets differently, and renews them each epoch, while it trains, with models that get better. Whether this pays",
    "is seen in the end, in test accuracy: notebooks 05 and 10 compare whole methods.",
)

# %% tags=["check"]
for name, values in (*three[["precision", "recall", "f1"]].items(), ("late", late["precision"])):
    told[name].check(values)
assert compared["precision"].dropna().between(0, 1).all()
assert compared["recall"].dropna().between(0, 1).all()
flat = by.loc["cleanlab"]
assert (flat["kept"] == flat["kept"].iloc[0]).all(), "cleanlab has no epochs"
if run.as_given:
    assert (three["precision"] > 0.88).all()
    assert three["recall"].idxmax() == nk.cleaning.FINDERS["cleanlab"]
    assert late["precision"].idxmax() == nk.cleaning.FINDERS["cleanlab"], (
        "who has learnt no label stays clean"
    )

# %% tags=["result"]
result = after_warmup.rename(nk.cleaning.FINDERS).rename_axis("finder").reset_index()
result = result[["finder", "precision", "recall", "f1"]].rename(columns={"f1": "F1"})
setup.write(
    result=result, sets=quality[quality["epoch"] == warmup_epochs],
    note=f"after a warm-up of {warmup_epochs} epochs, m = {momentum}, σ = {margin}",
)  # fmt: skip
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - Each sample has a threshold of its own that follows the models' confidence; trust above it keeps a label.
# - R, H and P: kept, not sure, probably wrong. "Not sure" is an answer too.
# - The split has to be made early: later the models have learnt the wrong labels by heart.
# - A second model buys precision with recall. Which of the two matters depends on what the set is used for.
# - Simple rivals are strong. Judge out of fold, and memorising cannot fool you.
#
# ## Exercises
#
# Each is checked at once. `nk.check.splitting.q1.hint()` gives a hint to the first, and a further one when
# it is called again.
#
# **1.** A sample's threshold is 0.5, and the model was 0.9 sure of its top class in this epoch. What is the
# threshold after it, with momentum 0.7?

# %% tags=["solution"]
answer_1 = nk.partition.update_thresholds([0.5], [[0.9, 0.1]], momentum=0.7)[0]
# stub:
# answer_1 = None  # a number
nk.check.splitting.q1(answer_1)

# %% [markdown]
# **2.** The strong model gives a label 0.7 against a threshold of 0.6, the weak one 0.3 against 0.4. Is the
# sample in `"R"`, `"H"` or `"P"`?

# %% tags=["solution"]
one = nk.partition.partition_samples([[0.7, 0.3]], [[0.3, 0.7]], [0], [0.6], [0.4], margin=0.3, cap=0.99)
answer_2 = str(one.set[0])
# stub:
# answer_2 = None  # a letter
nk.check.splitting.q2(answer_2)

# %% [markdown]
# **3.** Compare R of both models with R of the strong model alone. Is its size, and is its recall of the
# right labels, `"smaller"` or `"larger"` (where they differ)?

# %% tags=["solution"]
size = ["smaller" if (sets == "R").sum() <= alone["strong"].sum() else "larger"]
answer_3 = (*size, "smaller" if (recall["both"] <= recall["strong"]).all() else "larger")
# stub:
# answer_3 = (None, None)  # two words: size, recall
nk.check.splitting.q3(answer_3)

# %% [markdown]
# **4.** R holds 300 samples, 280 of which are rightly labelled. In all there are 360 right labels. What is
# the precision of R?

# %% tags=["solution"]
answer_4 = 280 / 300
# stub:
# answer_4 = None  # a number
nk.check.splitting.q4(answer_4)

# %% [markdown]
# **5.** Write the rule for one text, without `nk.partition`: two models' probabilities of all classes
# (arrays of C), the observed label, their thresholds, and the margin σ. Trust takes more than the
# threshold, not as much.


# %% tags=["solution"]
def which_set(p_s, p_w, label, tau_s, tau_w, margin):
    trust_s, trust_w = p_s[label] > tau_s, p_w[label] > tau_w
    confident = ((p_s + p_w) / 2).max() > (tau_s + tau_w) / 2 + margin
    return "R" if trust_s and trust_w else "P" if confident and not (trust_s or trust_w) else "H"


# stub:
# def which_set(p_s, p_w, label, tau_s, tau_w, margin):
#     """Return "R", "H" or "P"."""
#     return None  # your code


nk.check.splitting.q5(which_set)

# %% tags=["score"]
nk.check.splitting.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Timing**: 60 minutes; 15 for the rule, 20 for the explorer, 15 for sections 4 and 5, 10 for the exercises.
#
# **Misconceptions**: "the threshold is one number" (one a sample and a model); "P is where the models purify
# labels" (they are only suspected; the language model is asked); "a longer warm-up gives better
# models and so better sets" (the figure of section 3); "precision and recall of R can both be read off its
# size".
#
# **Ask the class**: you may buy 60 answers from a language model. From which set would you ask, and why not
# from H, where the models are least sure?
#
# ## Next
#
# - **04_llm_annotator**: who is asked about P, and how.
# - Change the noise: `noise = "asymmetric"`. The two classes of a pair look alike to the models too; how good
#   are the sets now?
# - Read `nlkit/methods/noiseal/partition.py`; `nlkit/methods/noiseal/plain.py` says the same one sample at a
#   time.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | NoiseAL (arXiv 2504.02901): co-prediction network, warm-up | `nlkit.methods.noiseal.dynamics.train_both` |
# | NoiseAL: dynamic-enhanced threshold, sets C and I, then R, H and P | `nlkit.methods.noiseal.partition` |
# | memory effect of DISC (CVPR 2023), which ours follows | `nlkit.methods.noiseal.partition.update_thresholds` |
# | DivideMix (arXiv 2002.07394): mixture of the losses | `nlkit.study.cleaning.small_loss` |
# | confident learning (arXiv 1911.00068), cleanlab | `nlkit.study.cleaning.confident_issues` |
# | how SiDyP (arXiv 2505.19675) picks its suspects instead | `nlkit.methods.sidyp.detection`, notebook 07 |
#
# </details>
