"""The settings of a trial, group by group: the type, range and meaning of every key."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiments import seeds
from experiments.commands import Place
from experiments.factors import FACTORS

# At least 32: with less, the coarsest FPN level that RoIs are pooled from has no cell.
Side = Annotated[int, Field(ge=32, le=20_000)]
Cells = Annotated[int, Field(ge=1, le=1024)]
Name = Annotated[
    str, Field(pattern=r"^\w[\w.+-]{0,39}$", json_schema_extra={"words": "up to 40 letters, digits and . _ + -"})
]
IouType = Literal["bbox", "segm"]


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Class(Group, extra="allow"):
    """A class by its name, and its arguments."""

    type: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        """Returns the arguments that are given."""
        return self.model_dump(exclude={"name", "type"}, exclude_unset=True)


class Module(Class):
    """`pre` or `post`; without a type there is no module."""

    name: Name


class Aggregation(Class):
    """A RoI extractor's class and the arguments that the recipe does not set."""

    name: Name
    type: str
    sampling_ratio: int = Field(0, ge=0, le=64)  # samples per cell and side; if given, it replaces the recipe's
    finest_scale: float = Field(1, gt=0, le=1e5)  # pixels; if given, it replaces the profile's


class Factor(Group):
    """A group of options that are known by their names; what an option edits is merged into MMDetection's config."""

    name: Name
    edits: dict[str, Any] = {}


class RoIPooling(Group):
    """One RoI extractor of an architecture."""

    output_size: Cells  # cells per side of a pooled RoI
    attention_heads: Cells | None = None  # if given, it replaces the attention module's number


class Architecture(Factor):
    """The MMDetection config that is inherited, and its RoI extractors that are replaced."""

    base: str  # the config's path below MMDetection's configs/
    extractors: dict[str, RoIPooling]
    iou_types: list[IouType] = Field(min_length=1)
    grad_clip: float | None = Field(gt=0, le=1e9)  # largest norm of the gradients


class Recipe(Factor):
    """The authors' differences from MMDetection; null is MMDetection's own value."""

    level_activation: str
    pre_shared: bool
    sampling_ratio: int = Field(ge=0, le=64)
    single_sampling_ratio: int = Field(ge=0, le=64)
    roi_align: Literal["v1", "legacy", "aligned"]
    attention_vertical_query: str
    gcnet_bbox_heads: int | None = Field(ge=1, le=65_536)
    boxes: Literal["legacy"] | None
    box_loss: Literal["smooth_l1"] | None
    proposals: int | None = Field(ge=1, le=1_000_000)
    match_low_quality: bool | None
    grad_clip: float | None = Field(gt=0, le=1e9)
    warmup_ratio: float | None = Field(gt=0, le=1)


class Shapes(Factor):
    """Images that are drawn (docs/shapes.md)."""

    kind: Literal["shapes"]
    seed: int = Field(ge=0, le=2**63 - 1)  # of the drawing
    train_images: int = Field(ge=1, le=1_000_000)
    val_images: int = Field(ge=1, le=1_000_000)
    image_size: int = Field(ge=96, le=1024)  # pixels, square


class Files(Group):
    """Annotations and images of one split, below the data set's root."""

    annotations: str
    images: str


class Coco(Factor):
    """Data in COCO's format."""

    kind: Literal["coco"]
    root: str | None
    train: Files
    val: Files


class Optimizer(Class):
    """An optimizer."""

    type: str
    lr: float = Field(gt=0, le=1e6)  # for `lr_batch_size` images a step


class Schedule(Factor):
    """The length and the steps of the training."""

    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=1_000_000)  # images a step, over all ranks
    lr_batch_size: int = Field(ge=1, le=1_000_000)  # images a step that the learning rate is for; it is scaled linearly
    optimizer: Optimizer
    warmup_iters: int = Field(ge=0, le=100_000_000)
    milestones: list[Annotated[int, Field(ge=1, le=100_000)]]  # epochs after which the rate falls to a tenth


class Profile(Factor):
    """How big the images and the detector are."""

    image_scale: list[Side] = Field(
        min_length=2,
        max_length=2,
        json_schema_extra={"words": "width and height, whole numbers of 32 or more and at most 20000"},
    )
    finest_scale: float = Field(gt=0, le=1e5)  # pixels
    channels: int = Field(ge=1, le=65_536)  # of every FPN level
    proposals: float = Field(gt=0, le=1000)  # factor on the recipe's and MMDetection's numbers
    model: dict[str, Any]  # merged into MMDetection's config
    by_architecture: dict[str, dict[str, Any]]
    notes: dict[str, str]  # by architecture: a note that is printed when such a trial is planned


class Resources(Group):
    """The machines and devices of a trial; they are not part of its id."""

    nodes: int = Field(ge=1, le=10_000)
    gpus: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"]  # of each node
    cpu_processes: int = Field(ge=1, le=1024)  # ranks of each node if no GPU is used
    loader_workers: int = Field(ge=0, le=256)
    patience: int = Field(ge=1, le=10_000_000)  # seconds
    free_gib: float = Field(ge=0, le=1e6)
    gmacs_per_second: float | None = Field(gt=0, le=1e9)
    keep_checkpoints: list[Literal["last", "best"]]


class Tracking(Group):
    """The MLflow store."""

    uri: str
    experiment: str


class Memory(Group):
    """How the extractor's features are computed; the results are the same."""

    checkpoint: bool


class Retry(Group):
    """When a failed trial is retried."""

    failed: bool
    attempts: int = Field(ge=1, le=1000)


class Seeds(Group):
    """The rules of seed=auto."""

    first: int = Field(ge=2, le=seeds.MOST)
    most: int = Field(ge=2, le=seeds.MOST)
    budget: float | None = Field(gt=0, le=1e9)  # device-hours
    alpha: float = Field(gt=0, lt=1)


class Settings(Group, extra="allow"):
    """All settings of one trial. Groups without a field here are factors that only edit MMDetection's config."""

    __pydantic_extra__: dict[str, Factor]

    aggregation: Aggregation
    pre: Module
    post: Module
    recipe: Recipe
    architecture: Architecture
    dataset: Annotated[Shapes | Coco, Field(discriminator="kind")]
    schedule: Schedule
    profile: Profile
    resources: Resources
    tracking: Tracking
    extractor: Memory
    sweep: str | None
    seed: int = Field(ge=0, le=2**32 - 1, json_schema_extra={"or": "auto"})  # NumPy's limit
    seeds: Seeds
    output_dir: str
    trial_dir: str | None
    launch_dir: str | None
    dry_run: bool
    calibrate: bool
    rerun: bool | Literal["stale"]
    fail_fast: bool
    retry: Retry

    @property
    def edits(self) -> dict[str, dict[str, Any]]:
        """Returns what each factor changes in MMDetection's config, by the factor's name; in the order of conf/."""
        found = {group: getattr(self, group) for group in FACTORS if hasattr(self, group)}
        return {group: one.edits for group, one in found.items() if isinstance(one, Factor) and one.edits}

    @property
    def place(self) -> Place:
        """Returns where the trial and its record are."""
        return Place(Path(self.output_dir), self.tracking.uri, self.tracking.experiment)
