"""The paper's three cases: how much benign users know of the backdoor classes (ledger 19)."""

CASES = {
    "a": "backdoor classes not used by benign users",
    "b": "backdoor classes used in benign meta-training",
    "c": "backdoor classes used also in benign fine-tuning",
}
# where only fine-tuning follows the attack, as in figures 5 to 8: all benign meta-training came before it
IN_FINE_TUNING = {**CASES, "b": "backdoor classes used in benign pre-training"}
