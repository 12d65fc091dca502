"""The plan of the study and the machine that it runs on, for all rules; no logic stands here."""

from snakemake.utils import validate

from probunet.run import MEMBER, TEMPLATE
from probunet.workflow.engine import Engine, explained
from probunet.workflow.plan import each, exactly
from probunet.workflow.site import Site

engine = Engine(workflow)
plan = engine.read_plan(config)
validate(config, "../schemas/config.schema.json", set_default=False)
site = Site(engine, plan)
site.enter()


wildcard_constraints:
    **plan.constraints,


onstart:
    site.check()


onerror:
    site.explain()
