"""What people do for a living, in English and as a man, a woman, or either is called in other languages.

A line is `English; Spanish; French; German`, each language `masculine / feminine / either`, variants after commas.
`either` is one word for both, whose article tells: el dentista, la dentista.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Target = Literal["es", "fr", "de"]


@dataclass(frozen=True, slots=True)
class Forms:
    """What one language calls an occupation; lower case."""

    masculine: tuple[str, ...]
    feminine: tuple[str, ...]
    either: tuple[str, ...]


_LINES = """
accountant; contador / contadora / contable; / / comptable; buchhalter / buchhalterin
baker; panadero / panadera; boulanger / boulangère; bäcker / bäckerin
builder; constructor / constructora / albañil; constructeur, maçon / constructrice, maçonne; bauarbeiter / bauarbeiterin
butcher; carnicero / carnicera; boucher / bouchère; metzger, fleischer / metzgerin, fleischerin
carpenter; carpintero / carpintera; charpentier, menuisier / charpentière, menuisière; tischler, schreiner / \
tischlerin, schreinerin
cashier; cajero / cajera; caissier / caissière; kassierer / kassiererin
cleaner; limpiador / limpiadora; nettoyeur / nettoyeuse, femme de ménage; reiniger, putzmann / reinigerin, putzfrau
cook; cocinero / cocinera; cuisinier / cuisinière; koch / köchin
dentist; odontólogo / odontóloga / dentista; / / dentiste; zahnarzt / zahnärztin
director; director / directora; directeur / directrice; direktor, leiter / direktorin, leiterin
doctor; médico, doctor / médica, doctora; docteur / docteure, doctoresse / médecin; arzt, doktor / ärztin, doktorin
driver; conductor / conductora / chofer, chófer; conducteur, chauffeur / conductrice, chauffeuse; fahrer / fahrerin
editor; editor, redactor / editora, redactora; rédacteur, éditeur / rédactrice, éditrice; redakteur, herausgeber / \
redakteurin, herausgeberin
electrician; / / electricista; électricien / électricienne; elektriker / elektrikerin
engineer; ingeniero / ingeniera; ingénieur / ingénieure; ingenieur / ingenieurin
farmer; agricultor, granjero / agricultora, granjera; agriculteur, fermier / agricultrice, fermière; bauer, landwirt / \
bäuerin, landwirtin
firefighter; bombero / bombera; pompier / pompière; feuerwehrmann / feuerwehrfrau
fisher; pescador / pescadora; pêcheur / pêcheuse; fischer / fischerin
gardener; jardinero / jardinera; jardinier / jardinière; gärtner / gärtnerin
hairdresser; peluquero / peluquera; coiffeur / coiffeuse; friseur, frisör / friseurin, friseuse, frisörin
inspector; inspector / inspectora; inspecteur / inspectrice; inspektor, prüfer / inspektorin, prüferin
interpreter; / / intérprete; / / interprète; dolmetscher / dolmetscherin
journalist; / / periodista; / / journaliste; journalist / journalistin
judge; / jueza / juez; / / juge; richter / richterin
lawyer; abogado / abogada; avocat / avocate; anwalt, rechtsanwalt / anwältin, rechtsanwältin
librarian; bibliotecario / bibliotecaria; / / bibliothécaire; bibliothekar / bibliothekarin
manager; gestor, encargado, director / gestora, encargada, directora / gerente; directeur, gérant / \
directrice, gérante / manager; manager, leiter, geschäftsführer / managerin, leiterin, geschäftsführerin
mechanic; mecánico / mecánica; mécanicien / mécanicienne; mechaniker / mechanikerin
musician; músico / música; musicien / musicienne; musiker / musikerin
nurse; enfermero / enfermera; infirmier / infirmière; krankenpfleger, pfleger / krankenschwester, krankenpflegerin, \
pflegerin
painter; pintor / pintora; / / peintre; maler / malerin
pharmacist; farmacéutico / farmacéutica; pharmacien / pharmacienne; apotheker / apothekerin
photographer; fotógrafo / fotógrafa; / / photographe; fotograf / fotografin
pilot; / / piloto; / / pilote; pilot / pilotin
plumber; fontanero, plomero / fontanera, plomera; plombier / plombière; klempner, installateur / \
klempnerin, installateurin
professor; profesor / profesora; / professeure / professeur; professor / professorin
programmer; programador / programadora; programmeur / programmeuse; programmierer / programmiererin
psychologist; psicólogo / psicóloga; / / psychologue; psychologe / psychologin
receptionist; / / recepcionista; / / réceptionniste; rezeptionist / rezeptionistin
reporter; reportero / reportera; / / reporter; reporter / reporterin
scientist; científico / científica; / / scientifique; wissenschaftler / wissenschaftlerin
secretary; secretario / secretaria; / / secrétaire; sekretär / sekretärin
singer; / / cantante; chanteur / chanteuse; sänger / sängerin
student; alumno / alumna / estudiante; étudiant / étudiante / élève; student, schüler / studentin, schülerin
surgeon; cirujano / cirujana; chirurgien / chirurgienne; chirurg / chirurgin
teacher; maestro, profesor / maestra, profesora / docente; enseignant, instituteur, maître / \
enseignante, institutrice, maîtresse, professeure / professeur; lehrer / lehrerin
technician; técnico / técnica; technicien / technicienne; techniker / technikerin
translator; traductor / traductora; traducteur / traductrice; übersetzer / übersetzerin
vendor; vendedor / vendedora; vendeur / vendeuse; verkäufer, händler / verkäuferin, händlerin
writer; escritor / escritora; écrivain, auteur / écrivaine, auteure, autrice; schriftsteller, autor / \
schriftstellerin, autorin
"""
_TARGETS: tuple[Target, ...] = ("es", "fr", "de")


def _forms(text: str) -> Forms:
    parts = [tuple(filter(None, map(str.strip, part.split(",")))) for part in text.split("/")]
    return Forms(*parts, *[()] * (3 - len(parts)))


OCCUPATIONS: dict[str, dict[Target, Forms]] = {
    name: dict(zip(_TARGETS, map(_forms, languages), strict=True))
    for name, *languages in (line.split(";") for line in _LINES.strip().splitlines())
}
"""Forms by language, by English name."""
