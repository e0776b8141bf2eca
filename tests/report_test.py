#!/usr/bin/env python3
"""The verb report: a page that is well formed, fetches nothing, says what the policies say, and works in a browser.

usage: report_test.py CALLGATE
"""

import html
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

CALLGATE = pathlib.Path(sys.argv[1]).resolve()
HEAD = "arch: x86_64\nas_of: linux 6.12\ndefault: errno(EPERM)\n"
OLD = HEAD + "read, exit_group\nsocket: domain == AF_UNIX && type == SOCK_STREAM; domain == AF_INET\nmkdir: else -> errno(ENOSYS)\n"
NEW = HEAD + "write, exit_group\nsocket: domain == AF_UNIX\nmkdir: else -> errno(EROFS)\n"
VOID = {"meta", "br", "input"}
CHROMIUM = ("--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--virtual-time-budget=2000")


class Page(html.parser.HTMLParser):
    """The calls of a page, and whether its tags match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.calls, self.ids, self.links, self.urls = [], {}, [], [], []
        self.current = None
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.urls += [attrs[name] for name in ("src", "href", "action", "data", "srcset") if attrs.get(name)]
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag not in VOID:
            self.open.append(tag)
        if tag == "li" and "call" in (attrs.get("class") or "").split():
            self.current = attrs["title"].split(",")[0].split(" ", 1)[1]
            self.calls[self.current] = (attrs["class"].split()[1], "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.current and "li" in self.open:
            kind, text = self.calls[self.current]
            self.calls[self.current] = (kind, re.sub(r"\s+", " ", text + data))


def report(*texts):
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{'ab'[i]}.cg" for i in range(len(texts))]
        for name, text in zip(names, texts):
            (pathlib.Path(folder) / name).write_text(text)
        done = subprocess.run([CALLGATE, "report", *names, "-o", "page.html"], cwd=folder, capture_output=True, text=True,
                              check=True, timeout=60)
        assert done.stdout == done.stderr == ""
        return (pathlib.Path(folder) / "page.html").read_text()


class Content(unittest.TestCase):
    def test_every_call_has_its_verdict(self):
        page = Page(report(OLD))
        self.assertGreater(len(page.calls), 350)
        self.assertEqual({name: page.calls[name][0] for name in ("read", "write", "socket", "mkdir")},
                         {"read": "allow", "write": "errno", "socket": "args", "mkdir": "errno"})

    def test_argument_rules_are_told_in_words(self):
        self.assertIn("family == AF_UNIX and type == SOCK_STREAM → allow", Page(report(OLD)).calls["socket"][1])

    def test_differences_have_witnesses(self):
        calls = Page(report(OLD, NEW)).calls
        self.assertIn("looser write(0, NULL, 0) A errno(EPERM) B allow", calls["write"][1])
        self.assertIn("tighter read(0, NULL, 0) A allow B errno(EPERM)", calls["read"][1])
        self.assertIn("looser socket(AF_UNIX", calls["socket"][1])
        self.assertIn("tighter socket(AF_INET", calls["socket"][1])
        self.assertIn("A errno(ENOSYS) B errno(EROFS)", calls["mkdir"][1])

    def test_equal_policies_are_said_to_be_equal(self):
        self.assertIn("B decides every call of every ABI as A does", report(OLD, OLD))

    def test_findings_are_marked_at_the_calls(self):
        page = Page(report(HEAD + "prctl, exit_group\n"))
        self.assertIn("CG0508", page.calls["prctl"][1])
        self.assertIn("CG0508", page.ids)

    def test_only_calls_that_run_the_filter_are_uncached(self):
        calls = Page(report(OLD)).calls
        self.assertEqual([name for name, (_, text) in calls.items() if "uncached" in text], ["socket"])


class Form(unittest.TestCase):
    def test_nothing_is_fetched(self):
        text = report(OLD, NEW)
        for url in Page(text).urls:
            self.assertRegex(url, "^#CG")
        self.assertNotRegex(text, r"https?:|@import|url\(")
        self.assertIn("default-src 'none'", text)

    def test_ids_are_unique_and_links_lead_somewhere(self):
        page = Page(report(HEAD + "prctl, ioctl, ptrace, exit_group\n"))
        self.assertEqual(len(page.ids), len(set(page.ids)))
        self.assertLessEqual({url[1:] for url in page.urls}, set(page.ids))

    def test_a_hostile_name_is_text(self):
        with tempfile.TemporaryDirectory() as folder:
            name = "<script>alert(1)<x>.cg"
            (pathlib.Path(folder) / name.replace("/", "")).write_text(OLD)
            done = subprocess.run([CALLGATE, "report", name], cwd=folder, capture_output=True, text=True, check=True)
        self.assertNotIn("<script>alert", done.stdout)
        Page(done.stdout)

    def test_the_same_input_gives_the_same_bytes(self):
        self.assertEqual(report(OLD, NEW), report(OLD, NEW))


class Browser(unittest.TestCase):
    """In headless Chromium: the script runs under the page's own security policy, and search finds."""

    def dump(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "page.html"
            path.write_text(text)
            done = subprocess.run([shutil.which("chromium"), *CHROMIUM, f"--user-data-dir={folder}/profile", "--dump-dom",
                                   f"file://{path}"], capture_output=True, text=True, timeout=120, check=True)
            return done.stdout

    def test_search_leaves_what_was_asked_for(self):
        text = report(OLD, NEW).replace("</script>", "box.value = 'af_unix'; box.dispatchEvent(new Event('input'));</script>")
        shown = re.findall(r'<li class="call [^"]*"[^>]*title="x86_64 (\w+),[^>]*>', self.dump(text))
        hidden = re.findall(r'<li class="call [^>]*title="x86_64 (\w+),[^>]* hidden="">', self.dump(text))
        self.assertEqual(set(shown) - set(hidden), {"socket"})

    def widths(self, text, width=390):
        """What a phone of this width sees of a page: the page's width, and what reaches beyond. A window of the browser has 500
        pixels at least, so the page is in a frame."""
        frame = (f"<iframe width={width} height=844 style='border:0' srcdoc='{html.escape(text)}'></iframe><script>onload = () => {{"
                 "const page = frames[0].document.documentElement;"
                 f"const wide = [...page.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > {width} + 0.5);"
                 "document.title = JSON.stringify([page.clientWidth, page.scrollWidth, wide.length ? wide[0].outerHTML.slice(0, 200) : '']);"
                 "}</script>")
        return json.loads(html.unescape(re.search("<title>(.*)</title>", self.dump("<title></title>" + frame))[1]))

    def test_page_is_no_wider_than_a_phone(self):
        long = "write: buf in {" + ", ".join(f"0x{i:x}ffffffffff" for i in range(20)) + "}\n"
        everything = HEAD + "@system-service\nptrace, mount, bpf\nioctl: cmd != TIOCSTI\n"
        for texts in ((OLD,), (OLD, NEW), (everything + long,), (everything, HEAD + "exit_group\n" + long)):
            self.assertEqual(self.widths(report(*texts)), [390, 390, ""])

    def test_a_page_that_is_too_wide_is_noticed(self):
        page, _, wide = self.widths(report(OLD).replace("<body>", "<body><p style='width:600px'>"))
        self.assertEqual(page, 390)
        self.assertTrue(wide.startswith("<p style="))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
