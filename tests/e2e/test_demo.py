"""The demo tells the truth: its table is typed into outside clients, its claims are checked from outside."""
import os
import poplib
import re
import signal
import smtplib
import ssl
import subprocess
import unittest

from house import EKIREI, HOST, message


class Demo(unittest.TestCase):
    def test_story_and_table(self):
        demo = subprocess.Popen([EKIREI, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "LANG": "C.UTF-8"})
        try:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            text = "".join(lines)
            for word in ("530", "POP before SMTP", "APOP", "235", "553", "TLSv1.3", "lease"):
                self.assertIn(word, text)
            ca = re.search(r"(/\S+ca\.pem)", text)[1]
            context = ssl.create_default_context(cafile=ca)
            ports = {int(p) for p in re.findall(r"\b(\d{5})\b", text)}
            offset = next(p - 995 for p in sorted(ports) if p - 995 + 587 in ports)
            name = re.findall(r"(?m)^ *User name +(\S+@\S+)$", text)[-1]
            password = re.findall(r"(?m)^ *Password +(\S+)$", text)[-1]
            with smtplib.SMTP(HOST, 587 + offset, timeout=20, local_hostname="client.test") as client:
                client.starttls(context=context)
                client.login(name, password)
                client.sendmail(name, [name], message(sender=name, to=name, subject="from outside").encode())
            pop = poplib.POP3_SSL(HOST, 995 + offset, context=context, timeout=20)
            pop.user(name)
            pop.pass_(password)
            mails = [b"\r\n".join(pop.retr(i + 1)[1]) for i in range(pop.stat()[0])]
            pop.quit()
            self.assertTrue(any(b"from outside" in mail for mail in mails))
            with smtplib.SMTP(HOST, 25 + offset, timeout=20, local_hostname="client.test") as client:
                client.ehlo()
                client.mail("stranger@elsewhere.test")
                self.assertGreaterEqual(client.rcpt("victim@elsewhere.test")[0], 550)
        finally:
            demo.send_signal(signal.SIGINT)
            self.assertEqual(demo.wait(10), 0)
            demo.stdout.close()
            demo.stderr.close()
        self.assertFalse(os.path.exists(ca))

    def test_japanese_and_once(self):
        done = subprocess.run([EKIREI, "demo", "--once"], capture_output=True, text=True, timeout=60, env={**os.environ, "LANG": "ja_JP.UTF-8"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "[ぁ-ん]")


if __name__ == "__main__":
    unittest.main()
