"""Run ``accelerate launch -m galaxy_vision.predict``."""

from .run import main

raise SystemExit(main())
