/** Words of several languages, most common first, as used in prompts to models. */
export const LANGUAGES: readonly (readonly string[])[] = [
  `the a to of and is in it that you for this with on be as we not are have file from can if or but error by test when all there was run an at
  function which use one line only then does should value call after what before change so where first read code will each write now
  session must wait between because without string key through again until under while never build check user request server returns module
  old new name list option number message path type event step buffer two any other both more than how why please could you explain look
  fails passes instead since already still another directory import export class object result process memory disk cache index query table
  response header token window render client timeout retry lock thread queue parse format version release branch commit merge deploy config
  default setting flag argument parameter variable constant loop condition branch exception stack trace debug log print input output stream`,
  `die der und in zu den das nicht von sie ist des sich mit dem dass er es ein ich auf so eine auch als an nach wie im für man aber aus durch wenn
  nur war noch werden bei hat wir was wird sein einen welche sind oder zur um haben einer mir über ihm diese einem ihr uns da zum kann doch vor
  dieser mich ihn du hatte seine mehr am denn nun unter sehr selbst schon hier bis habe ihre dann ihnen seiner alle wieder meine Zeit gegen vom
  ganz einzelnen wo muss ohne eines können Datei Fehler Schlüssel Sitzung Verzeichnis Änderung Speicher Abfrage Antwort Prüfung Ergebnis Größe`,
  `de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou mais nous comme été aux cette fait être deux
  même ses tout on leur sans aussi peut fichier erreur clé session répertoire mémoire requête réponse résultat taille pourquoi après avant très`,
  `и в не на я быть он с что а по это она этот к но они мы весь который из у за от то так же для вы ты один такой мочь себя свой год если файл ошибка
  ключ память ответ запрос строка каталог проверка почему потому когда после только ещё нужно можно сначала потом результат`,
  `的 是 不 了 在 有 我 他 这 中 大 来 上 个 国 到 说 们 为 子 和 你 地 出 道 也 时 年 得 就 那 要 下 以 生 会 自 着 去 之 过 家 学 对 可 她 里 后 小 文件 错误 测试 函数 会话
  加密 密钥 目录 内存 磁盘 结果 请求 为什么 因为 所以 首先 然后 检查 修改 代码 服务器`,
  `の に は を た が で て と し れ さ ある いる も する から な こと として い や れる など ない この ため その あっ よう また もの という あり まで られ なる へ か だ これ によって
  により おり より による なり られる において ば なかっ なく しかし ファイル エラー 鍵 会話 保存 確認 変更 結果 なぜ です ます`,
].map((words) => words.split(/\s+/));
