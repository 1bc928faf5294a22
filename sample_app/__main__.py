"""``python -m sample_app``: the shop at work on a real capture, in one SQLite file."""

from sample_app.demo.run import main

if __name__ == "__main__":
    main()
