"""Keeps the weights of a study: hands them to trials, writes them, and removes unneeded ones.

Weights are needed while their trial is a donor (`Algorithm.donors`), while a trial that starts
from them has not ended, and as long as their purpose says: while their trial is the best or on the
front, or always. For needed weights that are only in
memory, the nearest ancestors on disk are kept too, so that the weights can be trained again.
"""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.state import RAW, State, kept_structure, names_in, restore
from evotune.checkpoints.store import Checkpoints
from evotune.errors import CheckpointError, StudyError
from evotune.protocols import Algorithm, StudyDefinition
from evotune.study.ledger import Ledger
from evotune.trial import Checkpoint, Trial

log = logging.getLogger("evotune")


class Keeper:
    """Keeps the weights of one study.

    Args:
        store: Where they are kept.
        ledger: The trials.
        algorithm: Names the donors, whose weights may still be asked for.
    """

    def __init__(self, store: Checkpoints, ledger: Ledger, algorithm: Algorithm) -> None:
        self.store = store
        self.ledger = ledger
        self.algorithm = algorithm
        self._kept: dict[int, Checkpoint] = {}
        self._largest = 0
        self._shares_memory = True
        self._given_up: set[int] = set()
        #: Why no trial can start; a study in which none is left to start stays finished.
        self.missing: CheckpointError | None = None

    def load(self) -> None:
        """Load the checkpoints named in the trial records."""
        for trial in self.ledger.trials:
            if trial.checkpoint is not None and not trial.checkpoint.deleted:
                self._kept[trial.number] = trial.checkpoint
                self._largest = max(self._largest, trial.checkpoint.size)

    def open(self, *, shares_memory: bool, has_news: bool) -> list[Trial]:
        """Prepare for trials in this process, or in others, which need files.

        Args:
            shares_memory: Trials run in this process.
            has_news: The algorithm does not know all results yet. One of these may be why a killed
                process removed weights that the algorithm still names.

        Returns:
            The changed records.

        Where none of the weights to go on from can be read, nothing is changed, and `missing` says
        so to the trial that would start.

        Raises:
            StudyError: The study's trials inherit weights, which this algorithm does not use.
        """
        self._shares_memory = shares_memory
        inherits = self.algorithm.traits.inherits
        if not inherits and any(trial.donors for trial in self.ledger.trials):
            raise StudyError(
                f"the trials of this study inherit weights, which {self.algorithm!r} does not use: "
                "a run would remove them. Resume with the study's own algorithm, or give the new "
                "study another name="
            )
        self.missing = None if has_news else self.lost_all()
        if self.missing is not None:
            return []
        # Of a killed process some records may be left that it had not marked as deleted yet; the
        # files of these, and weights that went with it, must not count towards the quota.
        changed = self.clean()
        self.store.tidy(self._kept)
        if shares_memory:
            return changed
        self.store.ensure_location()
        return changed + self.write_out()

    def check_there(self) -> None:
        """Refuse to start a trial where a run found none of the weights to go on from.

        Raises:
            CheckpointError: So it is.
        """
        if self.missing is not None:
            self.missing = self.lost_all()  # they may be back when a later trial is asked for
        if self.missing is not None:
            raise self.missing

    def lost_all(self) -> CheckpointError | None:
        """Return an error where files of weights to go on from are needed, and none can be read.

        Then a folder is missing, a disk or a permission, and no trial is to blame. Where some of
        the files are there, those that are not were lost one by one: the trials that need them
        fail, or they are trained again.
        """
        numbers = self._to_start_from()
        numbers |= self._on_disk_before(numbers)
        records = {n: r for n in numbers if (r := self._kept.get(n)) is not None and r.file}
        is_there = self.store.available if self._shares_memory else self.store.has_file
        if not records or any(is_there(number, record) for number, record in records.items()):
            return None
        return self.store.missing(records)

    @property
    def has_weights(self) -> bool:
        """True when some trial has kept weights."""
        return bool(self._kept)

    def epochs(self, number: int | None) -> float:
        """Return the epochs that a trial's weights were trained for; 0 if it has no weights."""
        record = None if number is None else self.ledger.trials[number].checkpoint
        return 0.0 if record is None else record.epochs

    def is_deleted(self, trial_numbers: Collection[int]) -> bool:
        """Return whether the weights of any of these trials have been removed."""
        records = (self.ledger.trials[n].checkpoint for n in trial_numbers)
        return any(record is not None and record.deleted for record in records)

    # -- before a trial -----------------------------------------------------------------------

    def weights(self, trial: Trial, *, shares_memory: bool) -> TrialWeights:
        """Return a trial's access to its donors' weights and to the store for its own."""
        records = ((n, self._kept.get(n) or self.ledger.trials[n].checkpoint) for n in trial.donors)
        donors = {number: record for number, record in records if record is not None}
        # A trial that has ended runs again because its weights are needed and were lost.
        wanted = trial.has_ended or trial.number in self.algorithm.donors()
        due = self.store.is_due(trial.origin.generation or 0)
        return TrialWeights(
            self.store,
            trial.number,
            donors,
            wanted=wanted,
            write=not shares_memory or (self.store.has_location and due),
        )

    def has_room(self, running: int) -> bool:
        """Return whether the quota has room for the weights of one more trial.

        Args:
            running: Number of running trials, each of which may still write.

        Raises:
            CheckpointError: No trial is running, and the needed weights already fill the quota.
        """
        quota = self.store.quota
        if quota is None or not self.store.has_location:
            return True
        collects = any(record.purpose != "best" for record in self._kept.values())
        if not (self.algorithm.traits.inherits or collects):
            return True  # what only the best trial keeps ends no run
        if running and not self._largest:
            return False  # the size of a checkpoint is not known yet
        # Weights that are only in memory count too: they are written when the run ends.
        used = sum(record.size for record in self._kept.values())
        if used + (running + 1) * self._largest <= quota:
            return True
        if running:
            return False
        raise CheckpointError(
            f"the quota of {quota:,} bytes for checkpoints is too small: {len(self._kept)} needed "
            f"checkpoints take {used:,} bytes, and the next one takes about {self._largest:,}; "
            "nothing was removed. Raise the quota of Checkpoints(..., quota=) to "
            f"{2 * (used + self._largest)} or more, and run again"
        )

    def external(self, trial: Trial) -> Checkpoint | None:
        """Return the record for weights that the user of ask and tell keeps, not the study."""
        if trial.number not in self.algorithm.donors():
            return None
        epochs = self.epochs(trial.weights_from) + (trial.budget or 0.0)
        return Checkpoint(epochs, 0, external=True)

    def restore(self, trial: Trial, objects: Mapping[str, Any]) -> None:
        """Load a trial's weights into objects.

        Raises:
            CheckpointError: The weights were removed, are damaged, or do not fit the objects.
        """
        restore(objects, self.state(trial), trial.number)

    def rebuild(self, trial: Trial) -> Any:
        """Return a trial's network, built of the structure that was kept with its weights.

        Returns:
            The network; of several by name, a dict.

        Raises:
            CheckpointError: The weights were removed or are damaged, or nothing that was kept says
                how it is built.
            TaskError: A block of the network is not known here.
        """
        state = self.state(trial)
        found = {n: s for n in names_in(state) if (s := kept_structure(state, n)) is not None}
        if not found:
            raise CheckpointError(
                f"trial {trial.number} kept {', '.join(names_in(state)) or 'nothing'}, which does "
                "not say how it is built, as networks of templates do; build the model and write "
                f"study.restore({trial.number}, model=model)"
            )
        from evotune.architectures.templates import trained  # imports torch

        if RAW in found and len(found) == 2:
            found.pop(RAW)
        networks = {name: trained(structure, state[name]) for name, structure in found.items()}
        return networks if len(networks) > 1 else next(iter(networks.values()))

    def state(self, trial: Trial) -> State:
        """Return what a trial has kept, shared with the store: not to be changed.

        Raises:
            CheckpointError: The weights were removed or are damaged.
        """
        record = self._kept.get(trial.number, trial.checkpoint)
        if record is None or record.external:
            raise CheckpointError(f"the weights of trial {trial.number} are not kept by the study")
        return self.store.load(trial.number, record)[0]

    # -- after a trial ------------------------------------------------------------------------

    def take(self, number: int, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Register the weights that an evaluation kept; return the checkpoint to be recorded."""
        if checkpoint is None:
            return None
        self._kept[number] = checkpoint
        self._given_up.discard(number)
        self._largest = max(self._largest, checkpoint.size)
        self.store.wrote(checkpoint)
        # A temporary folder does not outlive this process, so the record must not name its file.
        return replace(checkpoint, file="") if self.store.is_temporary else checkpoint

    def discard(self, number: int) -> None:
        """Remove what a trial without a result may have written, now or in a killed attempt."""
        if number not in self._kept:
            self._remove(number)

    def clean(self, again: Collection[Trial] = ()) -> list[Trial]:
        """Remove weights that are no longer needed; return the changed records.

        Args:
            again: Ended trials that are to be trained again, and need their donors for it.
        """
        if not self._kept:
            return []
        changed = []
        needed = self._needed().union(self._collected(), *(trial.donors for trial in again))
        for number in set(self._kept).difference(needed):
            del self._kept[number]
            self._remove(number)
            trial = self._deleted(self.ledger.trials[number])
            self.ledger.put(trial)
            changed.append(trial)
        return changed

    def _remove(self, number: int) -> None:
        try:
            self.store.delete(number)
        except Exception as error:  # a leftover file is no reason to end a run
            log.warning("the weights of trial %d could not be removed: %s", number, error)

    def _deleted(self, trial: Trial) -> Trial:
        record = trial.checkpoint
        return trial if record is None else replace(trial, checkpoint=replace(record, deleted=True))

    def _to_start_from(self) -> set[int]:
        donors = (self.ledger.trials[number].donors for number in self.ledger.unfinished)
        return set(self.algorithm.donors()).union(*donors)

    def has_any(self) -> bool:
        """Return False when weights are needed to go on, and none are there."""
        numbers = self._to_start_from()
        return not numbers or any(self._is_available(number) for number in numbers)

    def _needed(self) -> set[int]:
        needed = self._to_start_from()
        best = self.ledger.best_with_weights()
        if best is not None:
            needed.add(best)
        if self.store.has_location and self.store.write_every != 1:
            needed |= self._on_disk_before(needed)
        return needed

    def _collected(self) -> set[int]:
        """Return the trials whose weights are kept for the user, though nothing starts from them.

        They are not trained again where they were lost with a process.
        """
        purposes = {number: record.purpose for number, record in self._kept.items()}
        found = {number for number, purpose in purposes.items() if purpose == "all"}
        if "front" in purposes.values():
            found.update(trial.number for trial in self.ledger.front())
        return found

    def _on_disk_before(self, numbers: Collection[int]) -> set[int]:
        """Return the nearest ancestors on disk of weights that are only in memory."""
        found, seen, waiting = set(), set(numbers), list(numbers)
        while waiting:
            number = waiting.pop()
            record = self._kept.get(number)
            if record is not None and record.file:
                found.add(number)
                continue
            more = set(self.ledger.trials[number].donors).difference(seen)
            seen |= more
            waiting += more
        return found

    def write_out(self) -> list[Trial]:
        """Write weights that are only in memory to disk; return the changed records.

        Raises:
            CheckpointError: A write failed; the records of weights written before have changed.
        """
        changed: list[Trial] = []
        if not self.store.has_location:
            return changed
        for number, record in list(self._kept.items()):
            if not record.file and not record.external and self.store.available(number, record):
                written = self.store.write(number, record)
                self._kept[number] = written
                if not self.store.is_temporary:
                    trial = replace(self.ledger.trials[number], checkpoint=written)
                    self.ledger.put(trial)
                    changed.append(trial)
        return changed

    def give_up(self, number: int) -> None:
        """Treat weights as lost after reading them, or training them again, has failed."""
        record = self._kept.pop(number, None)
        if record is not None and record.file:  # train it again, from its own donors
            self._kept[number] = replace(record, file="", digest="")
            self.store.delete(number)
        else:
            self._given_up.add(number)

    # -- after a killed process ---------------------------------------------------------------

    def lost(self) -> list[Trial]:
        """Return the trials whose needed weights were lost with a process, oldest first.

        These weights were never on disk. They are restored by training again with the same seed
        from the same donors, whose weights may have to be trained again first.
        """
        found = {n for n in self._needed() if self._went_with_memory(n)}
        waiting = list(found)
        while waiting:
            donors = self.ledger.trials[waiting.pop()].donors
            more = {n for n in donors if n not in found and not self._is_available(n)}
            found |= more
            waiting += more
        doomed = set(self._given_up)
        for number in sorted(found):  # a donor is always older
            if doomed.intersection((number, *self.ledger.trials[number].donors)):
                doomed.add(number)
                self._kept.pop(number, None)
        return [self.ledger.trials[number] for number in sorted(found - doomed)]

    def _went_with_memory(self, number: int) -> bool:
        record = self._kept.get(number)
        if record is None or record.file or record.external:
            return False
        return not self.store.available(number, record)

    def _is_available(self, number: int) -> bool:
        return self.store.available(number, self._kept.get(number))


def default_folder(storage: Any) -> Path | None:
    """Return the folder for checkpoints beside a storage that is a file, else None."""
    path: Path | None = getattr(storage, "path", None)
    return None if path is None else path.with_name(f"{path.name}.checkpoints")


def owner_of(definition: StudyDefinition) -> str:
    """Return a text that identifies a study, also among studies of the same name."""
    return json.dumps([definition.name, definition.seed, definition.created])
