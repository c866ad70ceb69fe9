# %% [markdown]
# # Start here: learning from noisy labels in five minutes
#
# **You will learn**
#
# - what label noise is, and what it does to a classifier that is trained for too long;
# - how two models of different strength can tell right labels from wrong ones without seeing the truth;
# - why a small language model needs good examples before it can label text;
# - how NoiseAL puts these together, and how to compare it honestly with simpler things.
#
# **You need** some Python, and an idea of what training a classifier means. Nothing is downloaded: the news,
# the encoder (MiniLM) and the language model (SmolLM2, 135 million parameters) are installed with nlkit.
#
# {{measured}}
#
# **The method** is implemented after the published description of NoiseAL, [*Hide and Seek in Noise
# Labels*](https://arxiv.org/abs/2504.02901). Where that gives no number, nlkit chose one and says so.
#
# | in the paper | in the code |
# |---|---|
# | co-prediction network: a strong and a weak model | `nlkit.classifiers` |
# | dynamic-enhanced threshold: sets R, H and P | `nlkit.split` |
# | LLM as active annotator, demonstrations | `nlkit.annotate` |
# | losses for R, P and H | `nlkit.losses`, `nlkit.rectification` |
# | the whole loop | `nlkit.noiseal` |

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 2000
test_size = None
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
query_budget = 60
results = ""

# %% [markdown]
# The cell above holds all settings; change them there. (`annotator = "simulated"` answers from the true
# labels, nine times in ten right, and is faster. `results` may name a file for the final table.) The next
# cell checks the settings and shows what will run.

# %%
import json
from pathlib import Path

import numpy as np
import pandas as pd

import nlkit as nk

pd.set_option("display.max_colwidth", 70)

ds = nk.load_dataset(dataset, train_size=train_size, seed=seed, test_size=test_size)
ds, noise_added = nk.add_noise(ds, kind=noise, rate=noise_rate, seed=seed, return_report=True)
names = ds["train"].features["label"].names

if annotator == "simulated":
    truth = {row["text"]: row["label"] for split in ("validation", "train") for row in ds[split]}
    llm = nk.annotators.Simulated(accuracy=0.9, reference=truth, seed=seed)
else:
    llm = nk.annotators.LocalLLM(annotator, precision="auto")
    llm.ready(names)  # finds the model now, not in the middle of the run

shared = {"encoder": encoder, "profile": profile, "seed": seed}
noiseal = nk.NoiseAL(annotator=llm, query_budget=query_budget, **shared)
ce = nk.Baseline(loss="ce", record=True, **shared)

settings = (profile, dataset, train_size, test_size, noise, noise_rate, encoder, annotator, query_budget)
as_given = settings == ("quick", "r8", 2000, None, "symmetric", 0.4, "minilm", "smollm2", 60)

pd.DataFrame(
    {
        "what": ["texts", "classes", "noise", "encoder", "epochs", "annotator", "machine profile"],
        "value": [
            ", ".join(f"{split} {len(ds[split]):,}" for split in ds),
            f"{len(names)}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}",
            f"{noise}, rate {noise_rate}, on train and validation; test stays clean",
            f"{encoder}, trainable layers: {noiseal.config.trainable_layers}",
            f"{noiseal.config.epochs} (NoiseAL), {ce.config.epochs} (cross-entropy)",
            f"{llm.name}, at most {query_budget} questions",
            f"{profile}, seed {seed}",
        ],
    }
).set_index("what")

# %% [markdown]
# ## 1. Does everything work here?
#
# If a line below is marked ✗, the remedy stands beside it.

# %% tags=["machine"]
nk.doctor()

# %% [markdown]
# ## 2. The data
#
# R8 is the classic Reuters news collection, cut down to its eight largest topics. It is far from balanced, so
# accuracy alone is generous to a model that ignores the small topics; we look at macro F1 too.

# %%
train = ds["train"].to_pandas()
first = train.groupby("label").head(1).sort_values("label")
pd.DataFrame(
    {
        "topic": names,
        "training texts": train["label"].value_counts().reindex(range(len(names)), fill_value=0),
        "one of them begins": first.set_index("label")["text"].str.slice(0, 60).reindex(range(len(names))),
    }
).set_index("topic")

# %% [markdown]
# ## 3. Noise
#
# A wrong label in the wild comes from a tired annotator, a bad rule or a language model. To study it we
# make it ourselves, because then the truth is known. The **transition matrix** T says it all for noise that
# depends on the class only: T[i, j] is the probability that a text of class i is labelled j, so each row
# sums to 1.
#
# Move the sliders: *symmetric* noise flips to any other class, *asymmetric* noise to one certain other,
# *instance*-dependent noise to whatever the text resembles. Which one would you find hardest to notice by
# reading?

# %%
nk.widgets.noise_explorer(ds, kind=noise, rate=noise_rate, seed=seed)

# %% [markdown]
# Our noise is drawn sample by sample, so the share of wrong labels is close to the rate asked for, and not
# exactly it. From here on, methods see the column `noisy_label` only. `label` is kept for scoring.

# %%
noise_added.query("class_name == 'all'").round(3).reset_index(drop=True)

# %% tags=["check"]
row = noise_added.query("split == 'train' and class_name == 'all'").iloc[0]
spread = 4 * np.sqrt(0.25 / row["n"]) + 0.02
assert abs(row["achieved"] - row["wanted"]) < spread, "the noise should be about as strong as asked for"

# %% [markdown]
# ## 4. Memorising
#
# First the plain thing: a classifier on top of MiniLM, trained with cross-entropy (CE) on the noisy labels.
# After each epoch we look at its accuracy on the clean test set. That is for us to see; nothing is chosen
# by it.

# %%
ce.fit(ds, watch=("test",))

fig, axes = nk.plots.figure(1, 2, width=10, height=3.8)
alt = nk.plots.draw_accuracy(
    {"test, true labels": ce.history_["accuracy_test"],
     "validation, noisy labels": ce.history_["accuracy_noisy_validation"]},
    axes[0], chosen=ce.best_epoch_,
)  # fmt: skip
noisy_label, label = (np.array(ds["train"][c]) for c in ("noisy_label", "label"))
fitted = nk.plots.fitted_shares(ce.dynamics_["strong"], noisy_label, label)
alt += " " + nk.plots.draw_fitted(fitted, axes[1])
nk.plots.show(fig, alt)

# %% [markdown]
# Left: the test accuracy rises for some epochs and then falls while training goes on. Right: why. The model
# fits most right labels first, since they agree with each other. Wrong labels follow no rule and can only
# be learnt by heart, one at a time, later. This order is the **memorisation effect**, and all that follows
# uses it.
#
# One could stop early. The validation labels are noisy as well, so their curve stays low (dashed), yet its
# peak is a usable hint: the vertical line marks the epoch it would choose.

# %% tags=["check"]
start, end = fitted.iloc[0], fitted.iloc[-1]
assert fitted["clean"].max() > fitted["mislabelled"].max(), (
    "right labels should be fitted more than wrong ones"
)
if as_given:
    test_accuracy = ce.history_["accuracy_test"]
    assert test_accuracy.iloc[-1] < test_accuracy.max() - 0.01, "CE should lose accuracy by the last epoch"
    assert end["mislabelled"] > start["mislabelled"], "wrong labels should be memorised with time"
    assert ce.history_["accuracy_noisy_validation"].max() < 0.75, "noisy validation labels bound the curve"

# %% [markdown]
# ## 5. Two models, three sets
#
# NoiseAL trains two models side by side: a strong one (MiniLM with a head) and a weak one (a small BiLSTM
# that starts from nothing). After each epoch it asks for each training sample: how much does each model
# trust the label, and is that more than the sample's own **threshold**, which follows the models'
# confidence over the epochs?
#
# - **R, clean**: both trust the label. It is learnt as it is.
# - **P, purified**: neither does, and together they are confident of something else. It probably has a
#   wrong label; here the language model is asked.
# - **H, hard**: everything else.
#
# The next cell runs the whole method, language model included; the sections after it look inside.

# %%
noiseal.fit(ds, watch=("test",))

sets = nk.widgets.compute_splits(
    noiseal.dynamics_["strong"], noiseal.dynamics_["weak"], noisy_label,
    noiseal.config.momentum, noiseal.config.margin, noiseal.config.cap,
)  # fmt: skip
quality = nk.widgets.compute_quality(sets, noisy_label, label)
fig, ax = nk.plots.figure()
alt = nk.plots.draw_set_quality(quality, ax, mark=min(noiseal.config.warmup_epochs, len(sets)))
nk.plots.show(fig, alt)

# %% [markdown]
# Precision of R: how many of its labels are right. Precision of P: how many of its labels are wrong. Both
# are high although no true label was used. Up to the vertical line the models are warmed up with plain CE;
# from there on they learn from the sets.
#
# Now move the settings of the threshold. Nothing is trained anew: the explorer splits the recorded
# predictions again. (So later epochs still show what the models learnt with the settings of the run.)

# %%
nk.widgets.threshold_explorer(
    noiseal.dynamics_["strong"], noiseal.dynamics_["weak"], noisy_label, label, ds["train"]["text"],
    label_names=names, momentum=noiseal.config.momentum, margin=noiseal.config.margin,
    cap=noiseal.config.cap, epoch=min(noiseal.config.warmup_epochs, len(sets)),
)  # fmt: skip

# %% tags=["check"]
final = quality[quality["epoch"] == len(sets)].set_index("set")
assert final["size"].sum() == len(label), "every sample is in exactly one set"
if as_given:
    assert final.loc["R", "precision"] > 0.9, "R should be mostly right"
    assert final.loc["P", "precision"] > 0.85, "P should be mostly wrong"
    assert final.loc["R", "clean"] > 1 - noise_rate + 0.2, "R should be much cleaner than the data"

# %% [markdown]
# ## 6. A small language model with and without examples
#
# Who corrects the purified samples? SmolLM2 is small enough for a laptop. It does not write an answer; we
# compare how likely it finds each label word after the prompt. Asked without an example (**zero-shot**) it
# mostly follows its own habits. So NoiseAL shows it **demonstrations**: the four nearest texts from R, with
# their labels. R comes from the models, not from the truth, and that is the point: no clean label was
# needed.
#
# The same validation texts are asked in both ways.

# %%
validation = ds["validation"].to_pandas()
asked = validation.groupby("label").head(2).sort_values("label").head(16)
queries = asked["text"].tolist()

demonstrations = noiseal.demonstrations(queries, ds["train"], k=4)

zero_shot = llm.annotate(queries, names)
four_shot = llm.annotate(queries, names, demonstrations)
comparison = pd.DataFrame(
    {
        "text": queries,
        "true label": [names[y] for y in asked["label"]],
        "zero-shot": zero_shot["label_name"],
        "with 4 demonstrations": four_shot["label_name"],
        "their labels, nearest last": [", ".join(names[d.label] for d in shown) for shown in demonstrations],
    }
)
comparison

# %%
true_label = asked["label"].to_numpy()
accuracy_zero, accuracy_four = (
    float((answers["label"].to_numpy() == true_label).mean()) for answers in (zero_shot, four_shot)
)
pd.DataFrame(
    {
        "annotator": llm.name,
        "asked": ["zero-shot", "with 4 demonstrations"],
        "right": [f"{100 * accuracy_zero:.0f} %", f"{100 * accuracy_four:.0f} %"],
        "of": len(queries),
    }
)

# %% [markdown]
# This is the first prompt with demonstrations, in full. It is retrieval more than reasoning: often the
# nearest examples have the label of the query, and the model has to notice.

# %%
print(four_shot["prompt"].iloc[0])

# %% tags=["check"]
assert 1 <= len(queries) <= 16
if as_given:
    assert accuracy_four > accuracy_zero, "demonstrations should help"
    assert accuracy_four >= 0.6, "with demonstrations most answers should be right"

# %% [markdown]
# ## 7. The loop
#
# After the warm-up, in each round: split, ask about the purified samples that the models contradict most,
# learn from all three sets. An answer is kept for good. Each question is on record:

# %%
questions = noiseal.annotations_
if len(questions):
    answers = pd.DataFrame(
        {
            "after epoch": questions["epoch"],
            "text": [ds["train"]["text"][int(i)] for i in questions["index"]],
            "noisy label": [names[noisy_label[i]] for i in questions["index"]],
            "answer": questions["label_name"],
            "true label": [names[label[i]] for i in questions["index"]],
            "confidence": questions["confidence"].round(2),
        }
    ).head(12)
else:
    answers = "Nobody was asked: no sample was purified, or the budget is 0."
answers

# %%
report = noiseal.report(ds["train"])
asked_of = report["annotations"]
print(f"{llm.name}: {asked_of['n']} questions, {100 * asked_of['accuracy']:.0f} % of the answers right")
report["sets"].round(3)

# %% [markdown]
# R now has few wrong labels left, and P hardly a right one. The language model was asked about a few
# percent of the training texts only, and the other samples of P and H are learnt with the models' own
# sharpened predictions as targets (EmbMix: mixed with other samples' sentence embeddings).

# %% tags=["check"]
assert asked_of["n"] <= query_budget, "the budget should hold"
if as_given:
    assert asked_of["n"] < 0.05 * len(label), "few samples are asked about"
    assert asked_of["accuracy"] > 0.75, "most answers should be right"

# %% [markdown]
# ## 8. Does it help?
#
# Four rows. The last one is no competitor: it was trained on **clean labels**, and shows what would be
# possible on this data with this encoder. "Last epoch" means that nothing was selected; "best epoch by
# noisy validation" is what CE can do for itself without a clean label.

# %%
clean_ds = type(ds)(ds)
for split in ("train", "validation"):
    clean_ds[split] = (
        ds[split]
        .remove_columns("noisy_label")
        .add_column("noisy_label", ds[split]["label"][:], feature=ds[split].features["label"])
    )
upper_bound = nk.Baseline(loss="ce", **shared).fit(clean_ds)

CE_LAST, CE_BEST, NOISEAL, BOUND = "CE", "CE, early stopping", "NoiseAL", "CE on clean labels"
fitted_methods = [
    (CE_LAST, "last epoch", ce),
    (CE_BEST, "best epoch by noisy validation", ce.at_best_epoch()),
    (NOISEAL, "last epoch", noiseal),
    (BOUND, "last epoch (upper bound)", upper_bound),
]
scores = {name: method.evaluate(ds["test"]) for name, _, method in fitted_methods}
table = pd.DataFrame(
    {
        "method": [name for name, _, _ in fitted_methods],
        "selected": [selected for _, selected, _ in fitted_methods],
        "test accuracy": [scores[name]["accuracy"] for name, _, _ in fitted_methods],
        "macro F1": [scores[name]["macro_f1"] for name, _, _ in fitted_methods],
    }
)
table.round(3)

# %%
fig, ax = nk.plots.figure(height=2.8)
lowest = table["test accuracy"].min()
alt = nk.plots.draw_methods(
    table.rename(columns={"test accuracy": "accuracy"}), ax, bound=BOUND,
    low=max(0.0, np.floor(10 * lowest - 0.5) / 10),
)  # fmt: skip
nk.plots.show(fig, alt)

# %% [markdown]
# NoiseAL ends above CE's last epoch, and needs no early stopping to do so: its accuracy does not fall while
# it trains. Early stopping gets CE a good part of the way for free, and is the baseline that a noisy-label
# method has to beat. One run with one seed is an illustration, not a result: the project's benchmarks
# repeat it with other seeds, kinds of noise and profiles.

# %% tags=["check"]
accuracy = table.set_index("method")["test accuracy"]
assert accuracy.between(0, 1).all()
if as_given:
    assert accuracy[NOISEAL] > accuracy[CE_LAST] + 0.01, "NoiseAL should beat CE's last epoch"
    assert accuracy[NOISEAL] > accuracy[CE_BEST] - 0.015, "NoiseAL should not be worse than early stopping"
    assert accuracy[NOISEAL] < accuracy[BOUND] + 0.01, "clean labels are the upper bound"
    watched = noiseal.history_["accuracy_test"]
    assert watched.iloc[-1] > watched.max() - 0.015, "NoiseAL's accuracy should not fall at the end"

# %%
if results:
    note = f"{dataset}, {train_size} training texts, {noise} noise {noise_rate}, profile {profile}, "
    note += f"seed {seed}, annotator {llm.name} ({asked_of['n']} questions)"
    Path(results).write_text(json.dumps({"table": table.to_dict("records"), "note": note}), "utf-8")

# %% [markdown]
# ## Takeaways
#
# - Trained long enough, a classifier learns wrong labels by heart; right ones come first.
# - What two different models agree on, watched over time, tells clean from noisy without any true label.
# - A small language model is a poor annotator alone and a good one with four examples like the query.
# - Say what was selected and by which labels, show the simple baseline, and mark upper bounds as such.
#
# ## Exercises
#
# **1.** Symmetric noise of rate 0.4 over 8 classes: how probable is it that a text of class *earn* gets the
# label *ship*?

# %% tags=["solution"]
answer = 0.4 / 7
# stub:
# answer = None  # a number
nk.check.q1(answer)

# %% [markdown]
# **2.** A classifier that is always right meets a validation set of which 40 % of the labels are wrong. What
# accuracy does it reach there?

# %% tags=["solution"]
answer = 1 - 0.4
# stub:
# answer = None  # a number
nk.check.q2(answer)

# %% [markdown]
# **3.** In the explorer of section 5, raise the margin σ. What happens to R and to P: is each `"smaller"`,
# the `"same"` or `"larger"`?

# %% tags=["solution"]
strong, weak = noiseal.dynamics_["strong"], noiseal.dynamics_["weak"]
sizes = []
for margin in (0.1, 0.6):
    splits = nk.widgets.compute_splits(strong, weak, noisy_label, 0.9, margin)
    sizes.append(nk.widgets.compute_partition(splits, len(splits), noisy_label).sizes)
assert sizes[1]["R"] == sizes[0]["R"]
assert sizes[1]["P"] <= sizes[0]["P"]
answer = ("same", "smaller")
# stub:
# answer = (None, None)  # two words: for R, for P
nk.check.q3(answer)

# %% [markdown]
# ## Next
#
# - Go back to the parameters: `noise = "asymmetric"` or `"instance"`, `dataset = "r52"`, or `query_budget =
#   0`, which shows what the models reach without the language model.
# - Read `nlkit/split.py` and `nlkit/rectification.py`, in this order; each is one idea.
# - Use it on your own files: `nk.load_dataset({"train": "train.csv", "test": "test.csv"}, text="…",
#   noisy_label="…")`, then `nk.NoiseAL().fit(ds)`.
