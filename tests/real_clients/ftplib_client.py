"""One client's errand with Python's ftplib: HOST PORT pasv|epsv INTO LOG NAME."""

import ftplib
import socket
import sys

host, port, mode, into, log, name = sys.argv[1:]
ftp = ftplib.FTP()
ftp.set_debuglevel(1)
ftp.connect(host, int(port), timeout=20)
if mode == "epsv":
    # ftplib sends EPSV where the control connection is not IPv4.
    ftp.af = socket.AF_INET6
ftp.login()
with open(into, "wb") as file:
    ftp.retrbinary("RETR /signatures/main.fwdb", file.write)
with open(log, "rb") as file:
    ftp.storbinary(f"STOR /upload/{name}/mwav.log", file)
ftp.quit()
