# %% [markdown]
# # Start here: learning from noisy labels in five minutes
#
# Labels are often wrong. A classifier that is trained for long enough learns the wrong ones too; methods that watch it learn can keep it from that.
#
# **Afterwards you can**
#
# - say what label noise is, and what it does to a classifier that is trained for too long;
# - see how two models of different strength tell right labels from wrong ones without the truth;
# - say why a small language model needs good examples before it can label text;
# - compare NoiseAL and SiDyP honestly with simpler things.
#
# **You need** some Python, and an idea of what training a classifier means. Nothing is downloaded: the news,
# the encoder (MiniLM) and the language model (SmolLM2, 135 million parameters) are installed with nlkit.

# %% tags=["setup"]
# {{setup}}

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
llm_labelled = 300
recorded = True
results = ""

# %% [markdown]
# The cell above holds all settings; change them there. (`annotator = "simulated"` answers from the true
# labels, nine times in ten right, and is faster. `llm_labelled` is how many training texts the language
# model labels in section 9. With these settings the notebook shows recorded runs; `recorded = False`, or the
# button below an explorer, computes them here, in minutes. `results` may name a file for the final tables.)
# The next cell checks the settings and shows what will run.

# %%
import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.annotate.base import Demonstration
from nlkit.course.saying import amount, compare, ends, extremes, kept_shares, path, ranked, say, when

pd.set_option("display.max_colwidth", 70)

given = {
    "profile": profile, "seed": seed, "dataset": dataset, "test_size": test_size, "noise_rate": noise_rate,
    "encoder": encoder, "annotator": annotator, "recorded": recorded, "results": results,
}  # fmt: skip
setup = nk.course.setup(train_size=train_size, noise=noise, recording="start_noiseal", **given)
ds, names = setup.ds, setup.names
noisy_label, label = setup.noisy_label, setup.label

config = nk.NoiseAL(query_budget=query_budget, **setup.shared).config
# Few texts, so fewer neighbours than the default: ten would reach beyond a small topic.
sidyp_settings = {"neighbours": 5, "variant": "text_space", **setup.shared}

setup

# %% [markdown]
# **Try it.** Here is label noise: move the kind and the rate. Rows are the true topics, columns what the labels say.

# %%
kind = noise if noise in nk.noise.KINDS else "symmetric"
nk.widgets.noise_explorer(setup.clean, kind=kind, rate=noise_rate, seed=seed)

# %% [markdown]
# ## 1. Does everything work here?
#
# If a line below is marked ✗, the remedy stands beside it.

# %% tags=["machine"]
nk.doctor()

# %% [markdown]
# ## 2. The data
#
# R8, used unless `dataset` is another, is the classic Reuters news collection, cut down to its eight largest
# topics. Where topics differ much in size, accuracy is generous to a model that ignores the small ones; so we
# look at macro F1 too.

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
# depends on the class only: $T_{ij}$ (`T[i, j]`) is the probability that a text of class $i$ is labelled $j$,
# so each row sums to 1.
#
# In the explorer above, *symmetric* noise flips to any other class, *asymmetric* noise to one certain other,
# *instance*-dependent noise to whatever the text resembles. Which one would you find hardest to notice by
# reading?

# %% [markdown]
# Our noise is drawn sample by sample, so the share of wrong labels is close to the rate asked for, and not
# exactly it. From here on, methods see the column `noisy_label` only. `label` is kept for scoring.

# %%
_, noise_added = nk.add_noise(setup.clean, kind=kind, rate=noise_rate, seed=seed, return_report=True)
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
#
# The next cell runs this, and all that the sections up to 8 look at.

# %%
validation = ds["validation"].to_pandas()
asked = validation.groupby("label").head(2).sort_values("label").head(16)
queries, true_label = asked["text"].tolist(), asked["label"].to_numpy()
CE_LAST, CE_BEST, NOISEAL, BOUND = "CE", "CE, early stopping", "NoiseAL", "CE on clean labels"


def noiseal_and_ce():
    llm = setup.make_annotator()
    # As published: every answer is believed. By default its worth is measured first (notebook 04).
    noiseal = nk.NoiseAL(annotator=llm, query_budget=query_budget, trust="full", **setup.shared)
    noiseal.fit(ds, eval_splits=("test",))
    ce = nk.Baseline(loss="ce", record=True, **setup.shared).fit(ds, eval_splits=("test",))
    clean = nk.Baseline(loss="ce", **setup.shared).fit(nk.add_noise(setup.clean, rate=0.0))
    methods = [
        (CE_LAST, "last epoch", ce),
        (CE_BEST, "best epoch by noisy validation", ce.at_best_epoch()),
        (NOISEAL, "last epoch", noiseal),
        (BOUND, "last epoch (upper bound)", clean),
    ]
    demonstrations = noiseal.demonstrations(queries, ds["train"], k=4)
    number = {text: i for i, text in enumerate(setup.texts)}
    shown = [
        (query, number[one.text], one.label) for query, some in enumerate(demonstrations) for one in some
    ]
    return {
        "ce": ce.history_, "best_epoch": np.array([ce.best_epoch_]),
        "fitted": nk.plots.fitted_shares(ce.dynamics_["strong"], noisy_label, label),
        "noiseal": noiseal.history_, **noiseal.dynamics_, "sets": noiseal.report(ds["train"])["sets"],
        "questions": noiseal.annotations_[["index", "epoch", "label", "confidence"]],
        "zero_shot": llm.annotate(queries, names)["label"].to_numpy(),
        "four_shot": llm.annotate(queries, names, demonstrations)["label"].to_numpy(),
        "shown": pd.DataFrame(shown, columns=["query", "index", "label"]),
        "scores": pd.DataFrame(
            [{"method": name, "selected": chosen, **m.evaluate(ds["test"])} for name, chosen, m in methods]
        ),
    }  # fmt: skip


run = setup.run("start_noiseal", noiseal_and_ce, query_budget=query_budget)
run

# %%
fig, axes = nk.plots.figure(1, 2, width=10, height=3.8)
alt = nk.plots.draw_accuracy(
    {"test, true labels": run["ce"]["accuracy_test"],
     "validation, noisy labels": run["ce"]["accuracy_noisy_validation"]},
    axes[0], chosen=int(run["best_epoch"][0]),
)  # fmt: skip
fitted = run["fitted"]
alt += " " + nk.plots.draw_fitted(fitted, axes[1])
nk.plots.show(fig, alt)

# %% tags=["finding"]
test_accuracy = run["ce"]["accuracy_test"].to_numpy()
first, last = fitted.iloc[min(2, len(fitted) - 1)], fitted.iloc[-1]
told = say(
    f"**Left**: the accuracy on the clean test set {path(test_accuracy)}.",
    f"**Right**: after epoch {first['epoch']:.0f} the model has fitted {amount(first['clean'])} of the right labels and",
    f"{amount(first['mislabelled'])} of the wrong ones; at the end {amount(last['clean'])} and {amount(last['mislabelled'])}.",
    when(
        last["mislabelled"] > first["mislabelled"] + 0.02 and ends(test_accuracy) == "falls",
        "It learns wrong labels in between, and the accuracy falls.",
    ),
    f"The epoch that noisy validation labels would choose is {run['best_epoch'][0]} (the vertical line): with it the",
    f"test accuracy is {amount(test_accuracy[int(run['best_epoch'][0]) - 1])}.",
)
told

# %% [markdown]
# Right labels agree with each other. Wrong labels mostly follow no rule and can only be learnt by heart, one at
# a time, later. This order is the **memorisation effect**, and all that follows uses it.
#
# One could stop early. The validation labels are noisy as well, so their curve stays low (dashed), yet its
# peak is a usable hint: the vertical line marks the epoch it would choose.

# %% tags=["check"]
assert amount(run["ce"]["accuracy_test"].iloc[-1]) in told
assert amount(fitted["mislabelled"].iloc[-1]) in told
if run.as_given:
    assert test_accuracy[-1] < test_accuracy.max() - 0.01, "CE should lose accuracy by the last epoch"
    assert last["mislabelled"] > fitted["mislabelled"].iloc[0], "wrong labels should be memorised with time"
    assert run["ce"]["accuracy_noisy_validation"].max() < 0.75, "noisy validation labels bound the curve"

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
# The run above holds the whole method, language model included; here and below we look inside.

# %%
sets = nk.widgets.compute_partitions(
    run["strong"], run["weak"], noisy_label, config.momentum, config.margin, config.cap
)
quality = nk.widgets.compute_quality(sets, noisy_label, label)
fig, ax = nk.plots.figure()
alt = nk.plots.draw_set_quality(quality, ax, mark=min(config.warmup_epochs, len(sets)))
nk.plots.show(fig, alt)

# %% tags=["finding"]
final = quality[quality["epoch"] == len(sets)].set_index("set")
told = say(
    "Precision of R: how many of its labels are right. Precision of P: how many of its labels are wrong.",
    f"After the last epoch R is right in {amount(final.loc['R', 'precision'])} and P wrong in"
    f" {amount(final.loc['P', 'precision'])}, where {amount((noisy_label == label)[label >= 0].mean())} of all labels are",
    "right; no true label was used. Up to the vertical line the models are warmed up with plain CE; from there on",
    "they learn from the sets.",
)
told

# %% [markdown]
# Now move the settings of the threshold. Nothing is trained anew: the explorer splits the recorded
# predictions again. (So later epochs still show what the models learnt with the settings of the run.)

# %%
nk.widgets.explore(
    run,
    lambda run: nk.widgets.threshold_explorer(
        run["strong"], run["weak"], noisy_label, label, setup.texts, label_names=names,
        momentum=config.momentum, margin=config.margin, cap=config.cap,
        epoch=min(config.warmup_epochs, len(run["strong"])),
    ),
)  # fmt: skip

# %% tags=["check"]
in_r = sets[-1].set == "R"
assert not in_r.any() or amount((noisy_label == label)[in_r].mean()) in told, "counted again, it holds"
assert final["size"].sum() == len(label), "every sample is in exactly one set"
if run.as_given:
    assert final.loc["R", "precision"] > 0.9, "R should be mostly right"
    assert final.loc["P", "precision"] > 0.85, "P should be mostly wrong"
    assert final.loc["R", "clean"] > 1 - noise_rate + 0.2, "R should be much cleaner than the data"

# %% [markdown]
# ## 6. A small language model with and without examples
#
# Who corrects the purified samples? SmolLM2 is small enough for a laptop. It does not write an answer; we
# compare how likely it finds each label word after the prompt. Asked without an example (**zero-shot**) it has
# only its habits to go by. So NoiseAL shows it **demonstrations**: the four nearest texts from R, with
# their labels. R comes from the models, not from the truth, and that is the point: no clean label was
# needed.
#
# The same validation texts are asked in both ways.

# %%
shown = run["shown"]
their_labels = shown.groupby("query")["label"].agg(lambda some: ", ".join(names[y] for y in some))


def named(numbers):
    return [names[y] if y >= 0 else "none" for y in numbers]


pd.DataFrame(
    {
        "text": queries,
        "true label": named(true_label),
        "zero-shot": named(run["zero_shot"]),
        "with 4 demonstrations": named(run["four_shot"]),
        "their labels, nearest last": their_labels.reindex(range(len(queries)), fill_value=""),
    }
)

# %%
accuracy_zero, accuracy_four = (float((run[way] == true_label).mean()) for way in ("zero_shot", "four_shot"))
pd.DataFrame(
    {
        "annotator": annotator,
        "asked": ["zero-shot", "with 4 demonstrations"],
        "right": [f"{100 * accuracy_zero:.0f} %", f"{100 * accuracy_four:.0f} %"],
        "of": len(queries),
    }
)

# %% tags=["finding"]
ways = {"zero-shot": accuracy_zero, "with 4 demonstrations": accuracy_four}
told = say(
    f"Of {len(queries)} texts, right are: {compare(ways, 'with 4 demonstrations', 'zero-shot')}.",
    when(len(queries) < 30, "So few texts show a large difference, and no small one."),
)
told

# %% [markdown]
# This is the first prompt with demonstrations, in full. It is retrieval more than reasoning: often the
# nearest examples have the label of the query, and the model has to notice.

# %%
demonstrations = [
    Demonstration(setup.texts[i], y) for i, y in shown.query("query == 0")[["index", "label"]].to_numpy()
]
llm = setup.make_annotator()  # only the words it reads: nothing is asked
if hasattr(llm, "prompts"):
    print(llm.prompts(queries[:1], names, demonstrations)[0])

# %% tags=["check"]
assert 1 <= len(queries) <= 16
told.check(ways)
if run.as_given:
    assert accuracy_four > accuracy_zero, "demonstrations should help"
    assert accuracy_four >= 0.6, "with demonstrations most answers should be right"

# %% [markdown]
# ## 7. The loop
#
# After the warm-up, in each round: split, ask about the purified samples that the models contradict most,
# learn from all three sets. An answer is kept for good. Each question is on record:

# %%
questions = run["questions"]
if len(questions):
    answers = pd.DataFrame(
        {
            "after epoch": questions["epoch"],
            "text": [setup.texts[i] for i in questions["index"]],
            "noisy label": named(noisy_label[questions["index"]]),
            "answer": named(questions["label"]),
            "true label": named(label[questions["index"]]),
            "confidence": questions["confidence"].round(2),
        }
    ).head(12)
else:
    answers = "Nobody was asked: no sample was purified, or the budget is 0."
answers

# %%
n_questions = len(questions)
right_answers = (
    float((questions["label"].to_numpy() == label[questions["index"]]).mean()) if n_questions else np.nan
)
print(f"{annotator}: {n_questions} questions, {amount(right_answers, digits=0)} of the answers right")
run["sets"].round(3)

# %% tags=["finding"]
told = say(
    f"In the end R is right in {amount(run['sets'].set_index('set')['precision']['R'])}. The language model was asked",
    f"about {amount(n_questions / len(label))} of the training texts, and {amount(right_answers)} of its answers are right.",
    "The other samples of P and H are learnt with the models' own sharpened predictions as targets (EmbMix: mixed",
    "with other samples' sentence embeddings).",
)
told

# %% tags=["check"]
assert n_questions <= query_budget, "the budget should hold"
if run.as_given:
    assert n_questions < 0.05 * len(label), "few samples are asked about"
    assert right_answers > 0.75, "most answers should be right"

# %% [markdown]
# ## 8. Does it help?
#
# Four rows. The last one is no competitor: it was trained on **clean labels**, and shows what would be
# possible on this data with this encoder. "Last epoch" means that nothing was selected; "best epoch by
# noisy validation" is what CE can do for itself without a clean label.

# %%
scores = run["scores"]
table = scores[["method", "selected", "accuracy", "macro_f1"]]
table = table.rename(columns={"accuracy": "test accuracy", "macro_f1": "macro F1"})
table.round(3)

# %%
fig, ax = nk.plots.figure(height=2.8)
alt = nk.plots.draw_methods(scores, ax, bound=BOUND, low=nk.plots.start_below(table["test accuracy"]))
nk.plots.show(fig, alt)

# %% tags=["finding"]
accuracy = table.set_index("method")["test accuracy"]
watched = run["noiseal"]["accuracy_test"]
told = say(
    f"In the last epoch, {compare(accuracy, NOISEAL, CE_LAST)}. While it trains, NoiseAL's accuracy {path(watched)}.",
    f"Early stopping is free, and is the baseline that a method for noisy labels has to beat:"
    f" {compare(accuracy, NOISEAL, CE_BEST)}.",
    "One run with one seed is an illustration, not a result: the project's benchmarks repeat it with other seeds,",
    "kinds of noise and profiles.",
)
told

# %% tags=["check"]
told.check(accuracy, alt)
assert accuracy.between(0, 1).all()
if run.as_given:
    assert accuracy[NOISEAL] > accuracy[CE_LAST] + 0.01, "NoiseAL should beat CE's last epoch"
    assert accuracy[NOISEAL] > accuracy[CE_BEST] - 0.015, "NoiseAL should not be worse than early stopping"
    assert accuracy[NOISEAL] < accuracy[BOUND] + 0.01, "clean labels are the upper bound"
    assert watched.iloc[-1] > watched.max() - 0.015, "NoiseAL's accuracy should not fall at the end"

# %% [markdown]
# ## 9. Labels made by a language model: SiDyP
#
# So far the noise was made by us. Now the language model labels everything, and nobody checks it: a small
# set of training and validation texts gets its answers as `noisy_label`. It is shown one **gold
# demonstration** a class, the same for all texts; these few true labels are the only ones used. The test
# set stays as it is.
#
# How SmolLM2 is asked is chosen so that its labels are far from perfect, as they are where a task is hard:
# with other demonstrations it does better, or worse. It reads words that mean something (*oil* instead of
# *crude*), and **contextual calibration** takes out what it would answer to an empty text.

# %%
labelled = nk.course.setup(train_size=llm_labelled, noise="llm", recording="start_sidyp", **given)
llm_ds, texts, names = labelled.ds, labelled.texts, labelled.names
llm_label, llm_truth = labelled.noisy_label, labelled.label
labelled.labels

# %%
made = nk.noise_report(llm_ds)
if len(names) <= 12:
    fig, ax = nk.plots.figure(width=6.5, height=5)
    alt = nk.plots.draw_transition_matrix(made.matrix, names, ax, title="labels of the language model")
    nk.plots.show(fig, alt)
made.table.round(2)

# %% tags=["finding"]
kept, least = kept_shares(made.counts, names)
off = made.counts - np.diag(np.diag(made.counts))
worst = int(off.sum(1).argmax())
to_two = np.sort(off[worst])[-2:].sum() / max(1, off[worst].sum())
told = say(
    f"{amount(made.rate)} of the labels are wrong. Of the topics with {least} texts or more, by the share of labels that",
    f"they keep, {extremes(kept)}; symmetric noise would take from all alike.",
    when(
        off.sum(),
        f"Of what {names[worst]} loses, {amount(to_two)} goes to two other topics; of symmetric noise it would be"
        f" {amount(min(1, 2 / max(1, len(names) - 1)))}.",
    ),
    when(
        to_two > 0.5,
        "Where mistakes have such a rule, a classifier can learn it as it learns the right labels: they need not come"
        " late, as in section 4.",
    ),
)
told

# %% tags=["check"]
told.check(kept, alt if len(names) <= 12 else "")
assert (np.array(llm_ds["test"]["label"]) >= 0).all(), "the test set keeps its true labels"
if labelled.labels.as_given:
    assert 0.25 < made.rate < 0.6, "a large share of the labels should be wrong, not most"
    assert kept.max() > 0.75, "some topic should keep most of its labels"
    assert kept.max() - kept.min() > 0.3, "the noise should differ much between the topics"
    assert to_two > 0.5, "wrong labels should go to few other topics"

# %% [markdown]
# ## 10. Suspects and candidates
#
# SiDyP has two stages.
#
# 1. Three branches, heads on one encoder, learn the labels and are held together by **co-regularisation**.
#    Where a text's embedding goes over the epochs is its **trajectory**. A label is **suspect** if the
#    branches do not believe it in the early epochs, or if the trajectory stays nearer to another label's
#    texts. How many are suspect is estimated.
# 2. Each text gets a **prior** from its nearest neighbours among the others, those that are not suspect:
#    one candidate (*certain*), two (*dominant*) or more (*uncertain*). A **diffusion model** learns to turn
#    noise into a label, knowing the text, its trajectory and the observed label. Its own answers move the
#    weights of the candidates while it learns; so the prior is *dynamic*.
#
# `variant="text_space"` takes these published steps one by one; notebook 09 says what `nk.SiDyP` adds to them.
#
# Below are the most suspicious labels. The true label stands beside them for us to see.

# %%
STAGE, SIDYP = "SiDyP's first stage", "SiDyP"


def refine():
    ce = nk.Baseline(loss="ce", **labelled.shared).fit(llm_ds)
    sidyp = nk.SiDyP(**sidyp_settings).fit(llm_ds)
    report = sidyp.report(llm_ds["train"])
    suspects = sidyp.prior_[sidyp.prior_["suspect"]].sort_values("suspicion", ascending=False)
    two = suspects[suspects["case"] == "dominant"]
    chosen = int([*two["index"], *suspects["index"], 0][0])
    config = sidyp.config
    embedding = nk.TextEncoder(encoder, trainable_layers=0, max_length=config.max_length).embed(texts)
    prior = nk.prior.neighbour_prior(
        embedding, llm_label, sidyp.prior_["suspect"], len(names), k=config.neighbours, gamma=config.gamma,
        delta=config.delta,
    )  # fmt: skip
    assert np.allclose(prior.weight, sidyp.prior_weight_, atol=1e-3), "this is the prior that SiDyP used"
    near = prior.neighbours[chosen][prior.neighbours[chosen] >= 0]
    test_texts, test_label = llm_ds["test"]["text"][:], llm_ds["test"]["label"][:]
    predicted = {
        CE_LAST: ce.predict_proba(test_texts),
        STAGE: sidyp.predict_observed(test_texts),
        SIDYP: sidyp.predict_proba(test_texts),
    }
    return {
        "prior": sidyp.prior_.drop(columns="text"), "detection": pd.DataFrame([report["detection"]]), "cases": report["prior"],
        "chosen": np.array([chosen]), "weight": prior.weight[chosen],
        "near": pd.DataFrame(
            {"index": near, "distance": np.linalg.norm(embedding[near] - embedding[chosen], axis=1)}
        ),
        "chain": sidyp.chain([texts[chosen]], [llm_label[chosen]])[:, 0, 0],
        "refined": np.array(sidyp.refine(llm_ds)["train"]["refined_label"]),
        "scores": pd.DataFrame(
            [{"method": name, **nk.evaluate_probabilities(p, test_label)} for name, p in predicted.items()]
        ),
        "reliability": pd.concat(
            [nk.reliability(predicted[name], test_label).assign(method=name) for name in (CE_LAST, SIDYP)]
        ),
    }  # fmt: skip


refining = labelled.run("start_sidyp", refine, **{k: sidyp_settings[k] for k in ("neighbours", "variant")})
refining

# %%
prior_table = refining["prior"].assign(
    text=[text[:50] for text in texts], **{"true label": np.array(names)[llm_truth]}
)
doubted = prior_table[prior_table["suspect"]].sort_values("suspicion", ascending=False)
doubted[["text", "noisy_label", "true label", "case", "candidates"]].head(8)

# %%
detection = refining["detection"].iloc[0]
print(f"suspects: {100 * detection['noise_rate_used']:.0f} % of the labels")
print(f"wrong:    {100 * detection['noise_rate']:.0f} %")
print(f"area under the ROC curve of the suspicion: {detection['auc']:.2f} (0.5 is chance)")
refining["cases"].round(2)

# %% tags=["finding"]
right_by_case = refining["cases"].set_index("case")["right"]
told = say(
    f"How often the neighbours' likeliest candidate is right, by case: {ranked(right_by_case)}.",
    when(
        right_by_case.get("uncertain", np.nan) < right_by_case.get("certain", np.nan) - 0.05,
        "This is why uncertain texts are not simply given the majority's label.",
    ),
    "One text in detail, the most suspicious one that has two candidates, if there is one:",
)
told

# %%
chosen, near = int(refining["chosen"][0]), refining["near"]
neighbours = pd.DataFrame(
    {
        "text": [texts[i] for i in near["index"]],
        "label": llm_label[near["index"]],
        "distance": near["distance"],
    }
)
print(texts[chosen][:300])
print(f"\nthe language model's label: {prior_table['noisy_label'][chosen]}")
fig, ax = nk.plots.figure(width=9, height=4)
alt = nk.plots.draw_candidates(refining["weight"], neighbours, names, ax)
nk.plots.show(fig, alt)

# %% [markdown]
# The **reverse chain** of the same text: it starts from pure noise, a point anywhere among the topics, and
# in each step the model guesses the label and goes there, with less noise added than before. Shown is the
# first branch; the last bar is what it says in the end. Such chains move the prior while SiDyP learns. To
# predict, it takes the first step only, several times from other noise: later steps see a label that the
# chain has chosen itself, and are too sure of it.

# %%
chain = refining["chain"]
fig, ax = nk.plots.figure(width=8, height=3.4)
alt = nk.plots.draw_chain_bars(chain, names, ax)
nk.plots.show(fig, alt)

# %% tags=["check"]
told.check(right_by_case)
assert np.isclose(refining["weight"].sum(), 1, atol=1e-3), "a prior is a distribution"
assert np.allclose(chain.sum(1), 1, atol=1e-3), "every step is a point of the simplex"
if refining.as_given:
    right = right_by_case
    assert detection["auc"] > 0.75, "wrong labels should be more suspicious than right ones"
    assert abs(detection["noise_rate_used"] - made.rate) < 0.15, "the estimate should be near"
    assert right["certain"] > 0.88, "certain candidates should nearly always be right"
    assert right["uncertain"] < right["certain"] - 0.2, "uncertain ones should be right far less often"

# %% [markdown]
# ## 11. Does it help?
#
# First the labels themselves. `refine` gives each text the label that the diffusion model finds likeliest,
# knowing the observed one, and its probability; the result could be exported. Two numbers tell what this
# did: the **correction rate**, how many wrong labels were turned right, and the **harm rate**, how many
# right ones were turned wrong.

# %%
corrected = nk.correction_report(llm_label, refining["refined"], llm_truth)
pd.Series(corrected, name="refined training labels").drop("n").map("{:.0%}".format).to_frame()

# %% [markdown]
# Then predictions on the clean test set. A model's **calibration** is whether it is right as often as it is
# sure; the expected calibration error (**ECE**) is the mean gap, 0 at best. All are taken after the last
# epoch. The first stage alone is what co-regularisation does without diffusion.

# %%
columns = {"method": "method", "accuracy": "test accuracy", "macro_f1": "macro F1", "ece": "ECE"}
sidyp_table = refining["scores"][list(columns)].rename(columns=columns)
sidyp_table.insert(1, "selected", "last epoch")
sidyp_table.round(3)

# %%
fig, ax = nk.plots.figure(width=8, height=4.5)
alt = nk.plots.draw_reliability(dict(list(refining["reliability"].groupby("method", sort=False))), ax)
nk.plots.show(fig, alt)

# %% tags=["finding"]
row = sidyp_table.set_index("method")[["test accuracy", "macro F1", "ECE"]]
told = {
    column: say(f"{start}{compare(row[column], SIDYP, CE_LAST)}.")
    for column, start in (
        ("test accuracy", "In accuracy "),
        ("macro F1", "In macro F1 "),
        ("ECE", "In calibration error, less is better: "),
    )
}
gain = row.loc[SIDYP] - row.loc[CE_LAST]
by_stage = {
    STAGE: row["test accuracy"][STAGE] - row["test accuracy"][CE_LAST],
    SIDYP: row["test accuracy"][SIDYP] - row["test accuracy"][STAGE],
}
say(
    told["test accuracy"],
    f"The first stage brings {100 * by_stage[STAGE]:+.1f} points of it, the second"
    f" {100 * by_stage[SIDYP]:+.1f}.",
    told["ECE"],
    told["macro F1"],
    when(
        0 < gain["test accuracy"] > gain["macro F1"] + 0.02,
        "Less is gained there than in accuracy: a topic that has a handful of training texts, many of them mislabelled,"
        f" has few neighbours that could speak for it. With {llm_labelled} texts nothing here repairs that.",
    ),
    when(
        corrected["accuracy_after"] < corrected["accuracy_before"],
        f"The correction made the labels worse: {amount(made.rate)} of them are wrong, and it has to believe some.",
    ),
    "And again: one run, one seed.",
)

# %% tags=["check"]
for column, sentence in told.items():
    sentence.check(row[column])
assert abs(by_stage[STAGE] + by_stage[SIDYP] - gain["test accuracy"]) < 1e-6, (
    "the stages' gains sum to all of it"
)
assert ((row >= 0) & (row <= 1)).all(axis=None)
if refining.as_given:
    assert corrected["correction_rate"] > 0.6, "most wrong labels should be turned right"
    assert corrected["harm_rate"] < 0.25, "few right labels should be turned wrong"
    assert corrected["accuracy_after"] > corrected["accuracy_before"] + 0.15, "labels should get better"
    assert gain["test accuracy"] > 0.1, "SiDyP should beat CE by far"
    assert by_stage[SIDYP] > max(by_stage[STAGE], 0.05), "the second stage should gain the larger part"
    assert gain["ECE"] < 0, "SiDyP should be better calibrated than CE"
    assert gain["macro F1"] < gain["test accuracy"] - 0.1, "the small topics should gain less"

# %% tags=["result"]
note = f"{dataset}, {train_size} training texts, {noise} noise {noise_rate}, profile {profile}, "
note += f"seed {seed}, annotator {annotator} ({n_questions} questions); {'live' if run.live else 'recorded'}"
sidyp_note = f"{dataset}, {llm_labelled} training texts labelled by {annotator} ({100 * made.rate:.0f} % "
sidyp_note += f"wrong), profile {profile}, seed {seed}; {'live' if refining.live else 'recorded'}"
result = pd.concat([
    table.drop(columns="selected"),
    sidyp_table.drop(columns=["selected", "ECE"]).assign(method=lambda t: t["method"] + ", LLM labels"),
])  # fmt: skip
setup.write(result=result, table=table, note=note, sidyp=sidyp_table, sidyp_note=sidyp_note)
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - Trained long enough, a classifier learns wrong labels by heart; right ones come first.
# - What two different models agree on, watched over time, tells clean from noisy without any true label.
# - A small language model is a poor annotator alone and a good one with four examples like the query.
# - A language model's labels are wrong in a way of its own: whole topics are called something else. Texts
#   that lie near believed ones can be given better labels, and a model trained so is calibrated better.
# - A correction has a harm rate too, and macro F1 shows what accuracy hides.
# - Say what was selected and by which labels, show the simple baseline, and mark upper bounds as such.
#
# ## Exercises
#
# Each is checked at once. `nk.check.start_here.q1.hint()` gives a hint to the first, and a further one when
# it is called again.
#
# **1.** Symmetric noise of rate 0.4 over 8 classes: how probable is it that a text of class *earn* gets the
# label *ship*?

# %% tags=["solution"]
answer_1 = 0.4 / 7
# stub:
# answer_1 = None  # a number
nk.check.start_here.q1(answer_1)

# %% [markdown]
# **2.** A classifier that is always right meets a validation set of which 40 % of the labels are wrong. What
# accuracy does it reach there?

# %% tags=["solution"]
answer_2 = 1 - 0.4
# stub:
# answer_2 = None  # a number
nk.check.start_here.q2(answer_2)

# %% [markdown]
# **3.** In the explorer of section 5, raise the margin σ. What happens to R and to P: is each `"smaller"`,
# the `"same"` or `"larger"`?

# %% tags=["solution"]
strong, weak = run["strong"], run["weak"]
sizes = []
for margin in (0.1, 0.6):
    splits = nk.widgets.compute_partitions(strong, weak, noisy_label, 0.9, margin)
    sizes.append(nk.widgets.compute_partition(splits, len(splits), noisy_label).sizes)
assert sizes[1]["R"] == sizes[0]["R"]
assert sizes[1]["P"] <= sizes[0]["P"]
answer_3 = ("same", "smaller")
# stub:
# answer_3 = (None, None)  # two words: for R, for P
nk.check.start_here.q3(answer_3)

# %% [markdown]
# **4.** Of a set's labels, 40 % are wrong. A correction turns 80 % of the wrong ones right (correction rate)
# and 10 % of the right ones wrong (harm rate). What share of the labels is right afterwards?

# %% tags=["solution"]
answer_4 = 0.4 * 0.8 + 0.6 * (1 - 0.1)
# stub:
# answer_4 = None  # a number
nk.check.start_here.q4(answer_4)

# %% [markdown]
# **5.** Write it: from labels before and after a correction and the true ones (arrays of N class numbers
# each), return the correction rate and the harm rate.


# %% tags=["solution"]
def corrected(before, after, true):
    wrong = before != true
    return (after[wrong] == true[wrong]).mean(), (after[~wrong] != true[~wrong]).mean()


# stub:
# def corrected(before, after, true):
#     """Return (correction rate, harm rate)."""
#     return None  # your code


nk.check.start_here.q5(corrected)

# %% tags=["score"]
nk.check.start_here.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Timing**: 30 minutes; 10 for sections 1 to 4, 10 for the explorer of section 5 and the language model, 10
# for the two tables. It starts on recorded runs; the button below the explorer of section 5 computes the
# first of them live, in two to three minutes.
#
# **Misconceptions**: "the validation accuracy of 60 % means that the model is bad" (exercise 2); "the
# language model knows the topics" (section 6, zero-shot); "a higher accuracy means a better model for every
# topic" (macro F1, section 11).
#
# **Ask the class** before section 3: which kind of noise would you find hardest to notice by reading?
#
# ## Next
#
# - [01_label_noise](01_label_noise.ipynb), and so on through the course: each stage has its own notebook.
# - Go back to the parameters: `noise = "asymmetric"` or `"instance"`, `dataset = "r52"`, or `query_budget =
#   0`, which shows what the models reach without the language model.
# - Give SiDyP more texts, `llm_labelled = 1000`, or the default of ten neighbours, and compare the tables.
# - Read `nlkit/methods/noiseal/partition.py` and `nlkit/methods/noiseal/rectification.py`, in this order, and then `nlkit/methods/sidyp/prior.py` and
#   `nlkit/methods/sidyp/diffusion.py`; each is one idea.
# - Use it on your own files: `nk.load_dataset({"train": "train.csv", "test": "test.csv"}, text="…",
#   noisy_label="…")`, then `nk.NoiseAL().fit(ds)`.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# **The methods** are implemented after the published descriptions of NoiseAL, [*Hide and Seek in Noise
# Labels*](https://arxiv.org/abs/2504.02901), and of SiDyP, [simplex label diffusion with a dynamic
# prior](https://arxiv.org/abs/2505.19675). Where these give no number, nlkit chose one and says so.
#
# | in the paper | in the code |
# |---|---|
# | co-prediction network: a strong and a weak model | `nlkit.models.classifiers` |
# | dynamic-enhanced threshold: sets R, H and P | `nlkit.methods.noiseal.partition` |
# | LLM as active annotator, demonstrations | `nlkit.annotate` |
# | losses for R, P and H | `nlkit.training.losses`, `nlkit.methods.noiseal.loss` |
# | the whole loop of NoiseAL | `nlkit.methods.noiseal.method` |
# | SiDyP: co-regularised branches and their trajectories | `nlkit.methods.sidyp.branches` |
# | noise detection from trajectories | `nlkit.methods.sidyp.detection` |
# | prior: certain, dominant and uncertain candidates | `nlkit.methods.sidyp.prior` |
# | simplex diffusion, reverse chain | `nlkit.methods.sidyp.diffusion` |
# | training it with the dynamic prior | `nlkit.methods.sidyp.refinement` |
# | prediction: the sum over observed labels | `nlkit.methods.sidyp.posterior` |
#
# </details>
