package builtin

import "strings"

// vocabulary holds the words by which a language is recognized.
type vocabulary struct {
	// stop are words that do not distinguish topics: articles, pronouns, prepositions, conjunctions,
	// auxiliaries, and the parts into which an apostrophe splits contractions.
	stop string
	// marks are common words of documents that reveal the language but are no stop words, such as
	// the names of months. Short documents have few stop words.
	marks string
}

// vocabularies are those of the languages, in the order of the constants of type language.
var vocabularies = [numLanguages]vocabulary{
	english: {`
a about above across after again against all almost along already also although always am among
an and another any anyone anything are aren around as at away be became because become been
before being below between both but by can cannot could couldn d did didn do does doesn doing don
done down during each either else enough etc even ever every few for from further get gets got
had hadn has hasn have haven having he hence her here hers herself him himself his how however i
if in indeed instead into is isn it its itself just ll m made make makes many may maybe me might
mine more most much must my myself neither never no nor not nothing now of off often on once one
only onto or other others otherwise our ours ourselves out over own per perhaps please quite
rather re s same several shall shan she should shouldn since so some something such t than that
the their theirs them themselves then there thereby therefore these they this those though
through thus to together too toward towards two under until up upon us use used uses using ve
very via was wasn way we well were weren what whatever when whenever where whether which while
who whoever whole whom whose why will with within without won would wouldn yes yet you your yours
yourself yourselves`, `
january february march june july october december monday tuesday wednesday thursday friday
saturday sunday dear number street date page amount name address phone company`},
	german: {`
ab aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes
auch auf aus bei beim bereits bin bis bist bitte da dabei dadurch dafür dagegen daher damit
danach dann daran darauf daraus darf darin darüber das dass dein deine dem den denn der deren des
dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem
einen einer eines einige einigen er es etwa etwas euch euer eure für gegen gemäß hab habe haben
hat hatte hatten hier hiermit hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer ihres im in
indem ins ist ja je jede jedem jeden jeder jedes jedoch jene kann kein keine keinem keinen keiner
können könnte man manche mehr mein meine meinem meinen meiner mich mir mit muss müssen nach
nachdem nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner seit sich sie
sind so sobald sofern soll sollen sollte sondern sonst sowie um und uns unser unsere unserem
unseren unserer unter vom von vor während war waren warum was weder wegen weil welche welchem
welchen welcher welches wenn wer werde werden wie wieder wir wird wo worden wurde wurden würde
würden zu zum zur zwar zwischen über zzgl inkl bzw sowohl`, `
januar februar märz juni juli oktober dezember montag dienstag mittwoch donnerstag freitag
samstag sonntag geehrte geehrter geehrten grüßen seite datum nummer straße betrag gmbh telefon
kunde rechnung vertrag konto kontostand menge preis gesamt neuer neue alter gehalt miete zahlung`},
	french: {`
a afin ai ainsi alors après as au aucun aucune aujourd auquel aussi autre autres aux avant avec
avez avoir avons c car ce ceci cela celle celles celui cependant ces cet cette ceux chaque chez
ci comme d dans de depuis des donc dont du durant elle elles en encore entre est et eu eux fait
faire font hors il ils j je jusqu l la laquelle le lequel les lesquelles lesquels leur leurs lors
lorsque lui là m ma mais me mes moi moins mon même n ne ni non nos notre nous ont on ou où par
parce pas pendant peu peut peuvent plus pour pourra puis puisque qu quand que quel quelle quelles
quels qui quoi s sa sans se selon sera seront ses si soit sommes son sont sous suis sur t ta tant
te tel telle toi ton tous tout toute toutes très tu un une vers veuillez voici voilà vos votre
vous y à été être était étaient êtes`, `
janvier février mars avril mai juin juillet août septembre octobre novembre décembre lundi mardi
mercredi jeudi vendredi samedi dimanche madame monsieur montant numéro rue société page
cordialement facture contrat compte solde quantité prix nouveau nouvelle paiement loyer achat
reçu`},
	spanish: {`
a al algo alguna algunas alguno algunos algún ante antes aquel aquella así aunque aún bajo bien
cada casi como con contra cual cuales cualquier cuando cuya cuyo cuál de del desde donde dos
durante e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estaba estado estas
este esto estos está están fue fueron ha haber había hacia han has hasta hay he incluso la las le
les lo los me mediante mi mientras mis muy más ni no nos nosotros nuestra nuestras nuestro
nuestros o os otra otras otro otros para pero poco por porque pues que quien quienes qué se sea
sean según ser será serán si sido sin sino sobre son su sus sólo también tan tanto te tiene
tienen todo todos toda todas tras tu tus un una unas uno unos usted ustedes y ya yo él`, `
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre lunes
martes miércoles jueves viernes sábado domingo estimado estimada atentamente importe número calle
fecha página señor señora empresa factura contrato cuenta saldo cantidad precio nuevo nueva pago
compra recibo cliente`},
	italian: {`
a abbiamo ad agli ai al alla alle allo anche ancora avere aveva c che chi ci ciascuno cioè ciò
col come con contro così cui d da dagli dai dal dalla dalle dallo degli dei del della delle dello
dell di dopo dove dunque durante e ed era essere fino fra gli ha hanno ho i il in infatti inoltre
io l la le lei li lo loro lui ma me mediante mentre mi mia mie miei mio ne negli nei nel nella
nelle nello nell noi non nostra nostre nostri nostro o ogni oltre oppure per perché però più poi
presso prima può qual quale quali quando quanto quella quelle quelli quello quest questa queste
questi questo qui quindi se secondo senza sia siamo siano sono sotto sta stata stati stato su sua
sue sugli sui sul sulla sulle sull suo suoi tra tra tutte tutti tutto un una uno un vi voi vostra
vostro vostri è all dall`, `
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
lunedì martedì mercoledì giovedì venerdì sabato domenica gentile egregio saluti importo numero
via pagina signor signora società data fattura contratto conto saldo iniziale finale quantità
prezzo nuovo nuova pagamento totale cliente`},
	dutch: {`
aan af al alle alles als ander andere bent bij binnen daar daarom dan dat de deze dezelfde die
dit doch doen door dus een eens en enige er ge geen gemaakt haar had heb hebben hebt heeft hem
het hier hij hoe hun iets ik in indien is ja je jij jou jouw jullie kan kunnen kunt maar me meer
men met mij mijn moet moeten na naar niet niets nog nu of om omdat ons onder onze ook op over
reeds sinds te tegen ten ter toch toen tot tussen u uit uw van vanaf veel volgens voor waar want
waren was wat we wel werd wie wij wil worden wordt zal ze zelf zich zij zijn zo zoals zonder zou
zullen`, `
januari februari maart april mei juni juli augustus oktober december maandag dinsdag woensdag
donderdag vrijdag zaterdag zondag geachte groet groeten bedrag nummer straat datum pagina mevrouw
heer klant factuur rekening overeenkomst saldo aantal prijs totaal nieuw nieuwe betaling huur
salaris`},
	portuguese: {`
a ainda ao aos aquela aquele aquilo as assim até cada com como contra cuja cujo da das de dela
dele deles depois desde dessa desse desta deste disso do dos durante e ela elas ele eles em entre
era eram essa essas esse esses esta estas este estes está estão eu foi foram fosse havia há isso
isto já lhe lhes mais mas me mediante mesmo meu minha muito na nas nem nessa nesta neste no nos
nossa nossas nosso nossos não nós num numa o onde os ou outra outro outros para pela pelas pelo
pelos pode por porque qual quais quando que quem se seja sem sendo ser será serão seu seus sob
sobre sua suas são só também te tem tendo tenho ter teve todo todos toda todas tua tudo um uma
umas uns você vocês à às é`, `
janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro segunda
terça quarta quinta sexta sábado domingo prezado prezada atenciosamente cumprimentos valor número
rua data página senhor senhora empresa fatura contrato conta saldo quantidade preço novo nova
pagamento compra cliente`},
	polish: {`
a aby albo ale ani aż bez bo bowiem by był była było były będzie będą być ci co czy czyli dla
dlatego do gdy gdyż gdzie go i ich ile im inne innych iż ja jak jako je jednak jego jej jemu jest
jeszcze jeśli jeżeli już każdy każdego każdej kiedy kto która które którego której który którym
których którzy lecz lub ma mają mi mnie mogą moja mój może można my na nad nam nami nas nasz
nasza nasze nie nich nim niż o od on ona one oni ono oraz pan pana pani państwa państwo po pod
podczas ponieważ poza przed przez przy są się sobie swoje swój ta tak taki także tam te tego tej
ten też to tu tych tylko tym u w we według wraz wszystkie wszystkich z za zaś ze zgodnie został
została zostało zostały że`, `
stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada
grudnia poniedziałek wtorek środa czwartek piątek sobota niedziela szanowny szanowna szanowni
poważaniem kwota numer ulica ul data strona zł nip faktura umowa rachunek saldo ilość cena razem
nowy nowa płatność opłata opis`},
	russian: {`
а без более бы был была были было быть в вам вас ваш ваша ваше ваши во вот все всего всех вы где
да даже для до его ее если есть еще же за и из или им их к как какой ко когда которая
которого которой которые который которых кто ли либо лишь мне может можно мой мы на над нам нас
наш наша наше наши не него нее нет ни них но о об обо однако он она они оно от перед по под
после при про с свой свои своей своего себя со так также такой там те тем то того тоже той только
том тот тут ты у уже чем через что чтобы эта эти этих это этого этой этом этот я является`, `
января февраля марта апреля мая июня июля августа сентября октября ноября декабря понедельник
вторник среда четверг пятница суббота воскресенье уважаемый уважаемая уважением сумма номер улица
дата страница руб ооо инн счет договор остаток количество цена итого новый новая оплата
клиент рублей`},
	swedish: {`
alla allt att av bara blev bli blir båda de dem den denna deras dess det detta dig din ditt dock
du där då efter eller en enligt ett från för genom ha hade han har hennes hon honom hos hur här i
icke inom inte jag kan kommer kunde man med mellan men mig min mitt mot mycket ni nu när någon
något några och också om oss på samt sedan sig sin sina sitt ska skall skulle som så sådan till
under upp ur ut utan vad var vara varit vid vilka vilken vill vår våra är även över`, `
januari februari mars juni juli augusti oktober måndag tisdag onsdag torsdag fredag lördag söndag
hälsningar belopp nummer datum sida kund`},
	danish: {`
af alle andre at blev blive bliver da de dem den denne der deres det dette dig din disse dog du
efter eller en end er et for fra ham han hans har havde have hende her hos hun hvad hvis hvor i
ikke ind jeg jer kan kunne man med meget men mig min mod mod når noget nogle nu og også om op os
over på samt se sig sin skal skulle som så til ud under var ved vi vil ville vor være været`, `
januar februar marts juni juli oktober mandag tirsdag onsdag torsdag fredag lørdag søndag hilsen
beløb nummer dato side kunde`},
	norwegian: {`
alle andre at av ble bli blir da de dem den denne der deres det dette disse du eller en enn er et
ett etter for fra ha hadde han hans har hun hva hver hvis hvor i ikke inn jeg kan kunne man med
meg mellom men min mot mye må noe noen nå når og også om opp oss over på samt seg sin skal skulle
som så til under ut uten var ved vi vil ville vår være vært`, `
januar februar mars juni juli oktober mandag tirsdag onsdag torsdag fredag lørdag søndag hilsen
beløp nummer dato side kunde`},
	finnish: {`
ei eivät eli en että he heidän hän häneen hänen ja joka joita jolla jonka jos jossa jota joten ja
kaikki kanssa koska kuin kun me meidän mikä minun minä mitä mutta mukaan myös ne nyt niiden niin
noin nämä ole olen oli olisi olla on ovat se sekä sen siellä siinä sillä sitä tai tai tämä tämän
tässä te teidän vaan vai vain voi voidaan yli`, `
tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta
lokakuuta marraskuuta joulukuuta päivämäärä sivu numero summa osoite puhelin`},
	czech: {`
a aby aj ale ani ano asi až bez bude budou by byl byla byli bylo být co další do ho i jak jako je
jeho jej její jejich jen jenž ještě ji jiné již jsem jsme jsou k kde kdo kdy když ke která které
kterou který kteří mají má mezi mi mít může na nad nebo není než o od pak po pod podle pokud
pouze pro proto protože před při s se si sice své svůj tak také tato tento této to toho tohoto
tom tomu u už v ve více však vše všechny z za ze že`, `
ledna února března dubna května června července srpna září října listopadu prosince pondělí úterý
středa čtvrtek pátek sobota neděle částka číslo ulice strana vážený vážená pozdravem kč`},
	turkish: {`
ama ancak bazı bir biri birkaç biz bize bizim bu buna bunlar bunu bunun da daha de defa diye en
gibi göre hem henüz hepsi her herhangi hiç için ile ise kadar ki kim mi mu mü nasıl ne neden olan
olarak oldu olduğu olup onlar onu onun o sadece siz size sizin şey şu tarafından tüm ve veya ya
yani çok çünkü üzere`, `
ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık pazartesi salı
çarşamba perşembe cuma cumartesi pazar sayın saygılarımla tutar tarih sayfa numara cadde`},
	romanian: {`
a acest acesta aceste acestea acestei acestui ai al ale am ar are as asupra au avea aveți ca care
către ce cel cea cele cei cu cum când dacă dar de decât deci din dintre doar după ea ei el ele
este fi fie fiecare fost i iar in la le lor lui mai mult ne nici noi nostru noastră nu o ori pe
pentru poate prin precum privind s sa sale sau se si sunt sub sunteți și un una unde unei unor
unui va vor vă își în între`, `
ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie
luni marți miercuri joi vineri sâmbătă duminică suma număr strada data pagina stimate`},
	hungarian: {`
a abban ahhoz aki akkor alatt amely amelyek amelynek ami annak arra az azon azt azért azonban be
csak de e egy egyes ehhez el ennek erre ez ezek ezt ezért és fel felé ha hanem hogy hogyan
illetve is itt jól ki kell kívül le lehet lesz lett ma már meg mely melyek mert mi mint minden
mivel még nagyon ne nem neki ő ők olyan ott pedig részére saját s sem szerint szét során tehát
től után új vagy vagyok valamint van vannak volt voltak össze úgy`, `
január február március április május június július augusztus szeptember október november december
hétfő kedd szerda csütörtök péntek szombat vasárnap tisztelt üdvözlettel összeg szám utca dátum
oldal`},
}

// wordKind tells in which languages a word is a stop word or a mark.
type wordKind struct{ stop, mark languageSet }

// wordKinds maps the words of vocabularies to their kinds.
var wordKinds = func() map[string]wordKind {
	kinds := map[string]wordKind{}
	for l, v := range vocabularies {
		for word := range strings.FieldsSeq(v.stop) {
			kind := kinds[word]
			kind.stop |= setOf(language(l))
			kinds[word] = kind
		}
		for word := range strings.FieldsSeq(v.marks) {
			kind := kinds[word]
			kind.mark |= setOf(language(l))
			kinds[word] = kind
		}
	}
	return kinds
}()
