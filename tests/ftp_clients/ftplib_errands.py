"""One errand with Python's ftplib: PORT Clear|Tls List|Get|Resume|Put|Mget."""

import ftplib
import os
import ssl
import sys

port, wire, errand = sys.argv[1:]
if wire == "Tls":
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ftp = ftplib.FTP_TLS(context=context)
else:
    ftp = ftplib.FTP()
ftp.connect("127.0.0.1", int(port), timeout=20)
ftp.login()
if wire == "Tls":
    ftp.prot_p()

main = "RETR /signatures/main.fwdb"
if errand == "List":
    print("\n".join(ftp.nlst("/policies")))
elif errand == "Get":
    with open("main.fwdb", "wb") as file:
        ftp.retrbinary(main, file.write)
elif errand == "Resume":
    with open("main.fwdb", "ab") as file:
        ftp.retrbinary(main, file.write, rest=os.path.getsize("main.fwdb"))
elif errand == "Put":
    with open("mwav.log", "rb") as file:
        ftp.storbinary("STOR /upload/ftplib/mwav.log", file)
elif errand == "Mget":
    ftp.cwd("/policies")
    for name, facts in ftp.mlsd():
        if facts["type"] == "file":
            with open(f"into/{name}", "wb") as file:
                ftp.retrbinary(f"RETR {name}", file.write)
ftp.quit()
