"""Commands that ask: search and classify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAME, Json, Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.query import Condition
    from workers.bootstrap import Process
    from workers.cli.output import Output
    from workers.deployment.port import Deployment
    from workers.query.search import Answer, Query

GROUP_FIELDS = {"product": "product_id"}
"""Words for `--group-by` that are not the payload field's own name."""


def search(
    image: Annotated[Path | None, typer.Argument(help="A picture to look for more of.", metavar="[IMAGE]")] = None,
    key: Annotated[list[str] | None, typer.Option(help="An indexed image to look for more of (repeatable).")] = None,
    product: Annotated[
        str | None, typer.Option(help="A product to look for more of: like all of its images together.")
    ] = None,
    unlike: Annotated[list[str] | None, typer.Option(help="An indexed image to steer away from (repeatable).")] = None,
    name: Name = DEFAULT_NAME,
    limit: Annotated[int, typer.Option("-k", "--limit", min=1, max=1000, help="How many hits.")] = 10,
    offset: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Hits to skip, for further pages; with --diversity, offset and limit are at most 1,000 together.",
        ),
    ] = 0,
    cursor: Annotated[
        str | None, typer.Option(help="Where to go on: as the page before said, with the same query otherwise.")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(help="Only this part of the picture: x1,y1,x2,y2 as shares of its sides.", metavar="X1,Y1,X2,Y2"),
    ] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only this category (repeatable: any of them).")] = None,
    brand: Annotated[list[str] | None, typer.Option(help="Only this brand (repeatable).")] = None,
    colour: Annotated[list[str] | None, typer.Option(help="Only this colour (repeatable).")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="Only with this attribute (repeatable: any of them).")
    ] = None,
    price_min: Annotated[float | None, typer.Option(help="Lowest price.")] = None,
    price_max: Annotated[float | None, typer.Option(help="Highest price.")] = None,
    in_stock: Annotated[
        bool | None, typer.Option("--in-stock/--out-of-stock", help="Only what is (not) in stock.")
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="A condition on any field that the catalog can be filtered by (repeatable, all must hold): "
            "brand=Acme,Bolt; brand!=Acme; price=10..80; price>=10; !colour for images without one.",
            metavar="CONDITION",
        ),
    ] = None,
    facet: Annotated[
        list[str] | None, typer.Option(help="Count this field's values among what passes the filter (repeatable).")
    ] = None,
    diversity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="0: most alike; towards 1: more different from each other.")
    ] = 0.0,
    group_by: Annotated[
        str | None, typer.Option(help="One hit per value of this: product, brand, category or colour.")
    ] = None,
    exclude_own_product: Annotated[
        bool, typer.Option("--exclude-own-product", help="Leave out other views of the --key's product.")
    ] = False,
    min_score: Annotated[
        str | None, typer.Option(help="Lowest cosine similarity of a hit, or `match` for the model's own level.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every image instead of using the approximate index.")
    ] = False,
    board: Annotated[
        Path | None, typer.Option(help="Also draw query and hits: a .png, an .html, or a name for both.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the images of a catalog that look most like a picture, or like images it already holds."""
    from workers.cli.answers import show_answer
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.errors import ContractError
    from workers.query.question import Query

    if sum((image is not None, bool(key), product is not None)) != 1:
        raise ContractError("give either a picture, --key or --product, as in: catalog search photo.jpg")
    output = Output(json=json)
    threshold, match_only = read_min_score(min_score)
    with open_deployment() as there:
        query = Query(
            image=None if image is None else there.read_picture(image),
            crop=None if crop is None else read_crop(crop),
            product=product,
            likes=tuple(key or ()),
            dislikes=tuple(unlike or ()),
            conditions=_conditions(
                any_of={
                    "category": read_categories(category or ()),
                    "brand": tuple(brand or ()),
                    "colour": tuple(colour or ()),
                    "attributes": tuple(attribute or ()),
                },
                price=(price_min, price_max),
                in_stock=in_stock,
            )
            + (_filters(there, name, filter_) if filter_ else ()),
            limit=limit,
            offset=offset,
            cursor=cursor,
            facets=tuple(facet or ()),
            diversity=diversity,
            group_by=_group_field(group_by),
            score_threshold=threshold,
            match_only=match_only,
            exclude_own_product=exclude_own_product,
            exact=exact,
        )
        process = there.here("--board") if board is not None else None
        answer = there.search(name, query)
        show_answer(output, answer)
        if board is not None and process is not None:
            _draw(output, process, name, query, answer, board)


def classify(
    images: Annotated[list[Path], typer.Argument(help="Pictures.", metavar="IMAGE...")],
    model: Annotated[str | None, typer.Option(help="Folder of the model bundle; default: the package's own.")] = None,
    json: Json = False,
) -> None:
    """Say what the model sees in pictures: category with confidence, attributes, box. A bad one does not stop the rest."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.errors import ItemError

    output = Output(json=json)
    failed = 0
    with open_deployment() as there:
        for path, seen in there.classify(images, model=model):
            if isinstance(seen, ItemError):
                failed += 1
                if json:
                    output.emit({"image": str(path), "error": {"reason": seen.reason.value, "detail": seen.detail}})
                else:
                    output.note(f"{path}: {seen.detail} ({seen.reason.value})", style="red")
            elif json:
                output.emit(
                    {
                        "image": str(path),
                        "category": seen.category,
                        "confidence": round(seen.confidence, 4) if seen.confidence is not None else None,
                        "attributes": list(seen.attributes) if seen.attributes is not None else None,
                        "box": [round(v, 4) for v in seen.box] if seen.box is not None else None,
                    }
                )
            else:
                sure = f"{seen.confidence:.0%}" if seen.confidence is not None else "-"
                more = f"   {', '.join(seen.attributes)}" if seen.attributes else ""
                output.say(f"{seen.category or 'unknown':<12} {sure:>5}   {path}{more}")
    if failed:
        raise typer.Exit(1)


def read_categories(words: Sequence[str]) -> tuple[str, ...]:
    """The category ids behind `--category`; ContractError for a word that names none."""
    from schemas.taxonomy import category_ids
    from workers.errors import ContractError

    try:
        return category_ids(words)
    except ValueError as error:
        raise ContractError(str(error)) from error


def read_min_score(word: str | None) -> tuple[float | None, bool]:
    """`--min-score` as a threshold, and whether it is the model's own; ContractError for what is neither."""
    from workers.errors import ContractError

    if word is None or word == "match":
        return None, word == "match"
    try:
        score = float(word)
    except ValueError:
        score = float("nan")
    if not -1.0 <= score <= 1.0:
        raise ContractError(f"--min-score {word!r}: give a cosine similarity from -1 to 1, or: match")
    return score, False


def read_crop(text: str) -> tuple[float, float, float, float]:
    """`--crop` as shares; ContractError for what is no four numbers."""
    from workers.errors import ContractError

    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise ContractError(f"--crop {text!r}: give four shares x1,y1,x2,y2, as in 0.1,0,0.9,0.5") from None
    return x1, y1, x2, y2


def _filters(there: Deployment, name: str, texts: Sequence[str]) -> tuple[Condition, ...]:
    from workers.cli.filters import read_filters

    return read_filters(texts, there.field_kinds(name), name)


def _conditions(
    *, any_of: dict[str, tuple[str, ...]], price: tuple[float | None, float | None], in_stock: bool | None
) -> tuple[Condition, ...]:
    from schemas.query import AnyOf, Range
    from workers.errors import ContractError

    conditions: list[Condition] = [AnyOf(field=field, values=values) for field, values in any_of.items() if values]
    low, high = price
    if low is not None and high is not None and low > high:
        raise ContractError(f"--price-min {low:g} is above --price-max {high:g}")
    if low is not None or high is not None:
        conditions.append(Range(field="price", minimum=low, maximum=high))
    if in_stock is not None:
        conditions.append(AnyOf(field="in_stock", values=(in_stock,)))
    return tuple(conditions)


def _group_field(word: str | None) -> str | None:
    from workers.errors import ContractError

    if word is None:
        return None
    field = GROUP_FIELDS.get(word, word)
    if field not in ("product_id", "brand", "category", "colour"):
        raise ContractError(f"cannot group by {word!r}; group by product, brand, category or colour")
    return field


def _draw(output: Output, process: Process, name: str, query: Query, answer: Answer, target: Path) -> None:
    from workers.board import save
    from workers.cli.boards import answer_board

    for path in save(answer_board(process, name, query, answer), target):
        output.note(f"drawn: {path}")
