"""What the language models of bench.models read: words and sentences with no rights in them."""
# ruff: noqa: RUF001  full-width punctuation is meant

from __future__ import annotations

import re

# Characters with several readings (行 长 还 数 觉 重 好 为 将 乐 了 地 ...), which is what g2pM decides. The first
# sentence is from its own documentation; then everyday ones, then classics: the Analects, Laozi, Mencius, Li Bai, Meng
# Haoran.
CHINESE = (
    "然而，他红了20年以后，他竟退出了大家的视线。",
    "银行行长说，这一行的人都不行。",
    "他还没有还我那本关于音乐的书。",
    "小明一边散步一边数树，数目总是数不清。",
    "我觉得睡觉的地方太长了，孩子长大了就不合适。",
    "大夫说，这种病要好好休息，不要喝酒。",
    "那座重庆的大桥很重，重修花了三年。",
    "将军将要带兵出发，为了胜利他为大家担着风险。",
    "他慢慢地走在湿地上，得意地说我得先走了。",
    "只要努力，这只小鸟就会明白自己的长处和短处。",
    "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？",
    "道可道，非常道；名可名，非常名。",
    "天将降大任于是人也，必先苦其心志，劳其筋骨。",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "朝辞白帝彩云间，千里江陵一日还。",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
)

# Natsume Soseki, Dazai Osamu, Akutagawa Ryunosuke, Miyazawa Kenji, the Pillow Book, the Tale of the Heike; then
# everyday ones, the first of them from nagisa's documentation.
JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
    "親譲りの無鉄砲で小供の時から損ばかりしている。",
    "小学校に居る時分学校の二階から飛び降りて一週間ほど腰を抜かした事がある。",
    "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。意地を通せば窮屈だ。",
    "メロスは激怒した。必ず、かの邪智暴虐の王を除かなければならぬと決意した。",
    "ある日の事でございます。御釈迦様は極楽の蓮池のふちを、独りでぶらぶら御歩きになっていらっしゃいました。",
    "では、みなさんは、そういうふうに川だと云われたり、乳の流れたあとだと云われたりしていた、"
    "このぼんやりと白いものがほんとうは何かご承知ですか。",
    "春はあけぼの。やうやう白くなりゆく山ぎは、少し明かりて、紫だちたる雲の細くたなびきたる。",
    "祇園精舎の鐘の声、諸行無常の響きあり。",
    "Pythonで簡単に使えるツールです。",
    "東京都の人口は約1400万人で、日本で最も多い。",
    "深層学習を使った自然言語処理の研究が進んでいる。",
    "昨日、駅前の新しい喫茶店で友達とコーヒーを飲みました。",
)


def english_words(count: int) -> list[str]:
    """``count`` different words of five letters or more from Python's own documentation, spread over the alphabet."""
    from pydoc_data import topics

    words = sorted(set(re.findall(r"\b[a-z]{5,}\b", " ".join(topics.topics.values()))))
    return [words[k * len(words) // count] for k in range(count)]
